"""What is wrong with the settings, in words.

Owns the one error that leaves this package and how a user's value is shown in it: short, on one line, whatever it holds.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence

MOST_TOLD = 50

_REPR = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80


def shown(value: object) -> str:
    """A value as a message may carry it; nested and long ones are cut, since YAML's aliases can make either endless."""
    return _REPR.repr(value)


class SettingsError(ValueError):
    """Everything that is wrong, a line each: where (``file:line``, flag or variable), which key, what, and the mend."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        told = list(self.problems[:MOST_TOLD])
        if len(self.problems) > MOST_TOLD:
            told.append(f"… and {len(self.problems) - MOST_TOLD} more")
        super().__init__("\n".join(told))
