"""``oomward explain`` without an agent: from the node, the API and the ledger. Reads only."""

from __future__ import annotations

from typing import TextIO

from agent.commands.output.table import Output
from agent.commands.survey import show_looked
from agent.look import explain as look
from agent.settings import Settings


def explain(
    settings: Settings,
    pod: str,
    output: Output,
    file: TextIO,
    *,
    namespace: str | None = None,
    watch_s: float | None = None,
) -> int:
    """Print everything about one pod. Arguments and errors: look/explain.py."""
    return show_looked(settings, lambda found: look.explain(found, pod, namespace), output, file, watch_s)
