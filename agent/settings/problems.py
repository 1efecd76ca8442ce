"""SettingsError, and how it shows a user's value: short and on one line."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence

MOST_SHOWN = 50

_REPR = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80
shown = _REPR.repr  # cuts nested and long values, since YAML aliases can make them endless


class SettingsError(ValueError):
    """All problems, one per line: the place (``file:line``, flag or variable), the key, the problem, and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        more = len(problems) - MOST_SHOWN
        super().__init__("\n".join([*problems[:MOST_SHOWN], *([f"… and {more} more"] if more > 0 else [])]))
