"""``oomward ps`` without an agent: from the node, the API and the ledger. Reads only; needs no API."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from agent.commands.output.table import Output
from agent.commands.survey import show_looked
from agent.look.containers import containers
from agent.look.which import ANY, Which
from agent.settings import Settings


def ps(
    settings: Settings,
    output: Output,
    file: TextIO,
    *,
    which: Which = ANY,
    watch_s: float | None = None,
    wait: Callable[[float], object] | None = None,
) -> int:
    """Print the containers, once or every ``watch_s`` seconds until Ctrl-C."""
    return show_looked(settings, lambda found: containers(found, which), output, file, watch_s, wait)
