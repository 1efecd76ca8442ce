"""``oomward history`` without an agent: from the ledger alone; needs no API."""

from __future__ import annotations

from typing import TextIO

from agent.commands import EXIT_OK
from agent.commands.output.streams import say
from agent.commands.output.table import Output, show
from agent.look import kills
from agent.settings import Settings


def history(
    settings: Settings,
    output: Output,
    file: TextIO,
    *,
    namespace: str | None,
    pod: str | None,
    since_s: float | None,
    limit: int,
) -> int:
    """Print kills: look/kills.py has the arguments and errors."""
    shown = kills.history(settings.state_dir, namespace=namespace, pod=pod, since_s=since_s, limit=limit)
    show(shown, output, file)
    say(shown.troubles)
    return EXIT_OK
