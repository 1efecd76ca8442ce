"""``oomward advise`` without an agent: from the node, the API and the ledger. Reads only."""

from __future__ import annotations

from typing import TextIO

from agent.commands import EXIT_OK
from agent.commands.output.streams import say
from agent.commands.output.table import Output, show
from agent.commands.survey import survey
from agent.look import advice
from agent.settings import Settings


def advise(settings: Settings, output: Output, file: TextIO, *, since_s: float | None) -> int:
    """Print the next limits of this node's workloads. Arguments and errors: look/advice.py."""
    with survey(settings) as found:
        try:
            show(advice.advise(found, since_s), output, file)
        finally:
            say(found.troubles)
    return EXIT_OK
