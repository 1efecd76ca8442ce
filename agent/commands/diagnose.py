"""``oomward diagnose`` without an agent: from the node, the API and the ledger. Reads only."""

from __future__ import annotations

from typing import TextIO

from agent.commands.output.table import Output
from agent.commands.survey import show_looked
from agent.look import diagnoses
from agent.look.which import ANY, Which
from agent.settings import Settings


def diagnose(
    settings: Settings,
    pod: str | None,
    output: Output,
    file: TextIO,
    *,
    which: Which = ANY,
    watch_s: float | None = None,
) -> int:
    """Print the problems of one pod, or of all pods of this node that are asked for (None). Errors: look/diagnoses.py."""
    return show_looked(settings, lambda found: diagnoses.diagnose(found, pod, which), output, file, watch_s)
