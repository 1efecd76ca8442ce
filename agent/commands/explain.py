"""``oomward explain`` without an agent: from the node, the API and the ledger. Reads only."""

from __future__ import annotations

from typing import TextIO

from agent.commands import EXIT_OK
from agent.commands.output.streams import say
from agent.commands.output.table import Output, show
from agent.commands.survey import survey
from agent.look import explain as look
from agent.settings import Settings


def explain(settings: Settings, pod: str, output: Output, file: TextIO) -> int:
    """Print everything about one pod. Arguments and errors: look/explain.py."""
    with survey(settings) as found:
        try:
            show(look.explain(found, pod), output, file)
        finally:
            say(found.troubles)
    return EXIT_OK
