"""A ledger on a real file, opened as the agent opens it, and closed at the end whatever happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.ledger import Ledger
from tests.unit.ledger.records import BOOT

Opener = Callable[..., Ledger]


@pytest.fixture
def open_ledger(tmp_path: Path) -> Iterator[Opener]:
    """Call it for one more opening of the same state directory; an earlier one that is still open is closed first."""
    opened: list[Ledger] = []

    def opener(boot: str = BOOT, *, state_dir: Path | None = None, now_unix_s: float = 1_795_000_000.0) -> Ledger:
        for earlier in opened:
            earlier.close()
        opened[:] = [Ledger.open(state_dir or tmp_path, boot, now_unix_s)]
        return opened[0]

    yield opener
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger: Opener) -> Ledger:
    return open_ledger()
