"""SettingsError, and how a user's value is shown in it: short and on one line."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence

MOST_SHOWN = 50

_REPR = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80


def shown(value: object) -> str:
    """A value for a message; nested and long ones are cut, since YAML aliases can make them endless."""
    return _REPR.repr(value)


class SettingsError(ValueError):
    """All problems, one per line: the place (``file:line``, flag or variable), the key, the problem, and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = list(self.problems[:MOST_SHOWN])
        if len(self.problems) > MOST_SHOWN:
            lines.append(f"… and {len(self.problems) - MOST_SHOWN} more")
        super().__init__("\n".join(lines))
