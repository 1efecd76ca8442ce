"""A thread of the oracle. If one fails, nothing that it would have seen is proved: its failure ends the run."""

from __future__ import annotations

import threading
from collections.abc import Callable


class OracleThread(threading.Thread):
    """``watch`` runs until somebody ends it."""

    def __init__(self, name: str, watch: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._watch = watch
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._watch()
        except BaseException as error:  # noqa: BLE001 - raised by check()
            self._failure = error

    def check(self) -> None:
        """Raises what ended it too early."""
        if self._failure is not None:
            raise self._failure
