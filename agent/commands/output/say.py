"""Troubles on standard error."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_SAID = 1200  # characters of one trouble


def say(troubles: Iterable[str]) -> None:
    """Print each on a line of standard error."""
    from agent.wording.text import safe  # noqa: PLC0415 (most commands have nothing to say)

    for trouble in troubles:
        print(f"oomward: {safe(trouble, MOST_SAID)}", file=sys.stderr)  # noqa: T201
