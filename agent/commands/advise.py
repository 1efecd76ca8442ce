"""``oomward advise`` without an agent: from the node, the API and the ledger. Reads only."""

from __future__ import annotations

from typing import TextIO

from agent.commands.output.table import Output
from agent.commands.survey import show_looked
from agent.look import advice
from agent.look.which import ANY, Which
from agent.settings import Settings


def advise(
    settings: Settings,
    output: Output,
    file: TextIO,
    *,
    since_unix_s: float | None,
    which: Which = ANY,
    watch_s: float | None = None,
) -> int:
    """Print the next limits of this node's workloads. Arguments and errors: look/advice.py."""
    return show_looked(settings, lambda found: advice.advise(found, since_unix_s, which), output, file, watch_s)
