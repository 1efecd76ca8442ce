"""``oomward diagnose`` without an agent: from the node, the API and the ledger. Reads only."""

from __future__ import annotations

from typing import TextIO

from agent.commands import EXIT_OK
from agent.commands.output.streams import say
from agent.commands.output.table import Output, show
from agent.commands.survey import survey
from agent.look import diagnoses
from agent.settings import Settings


def diagnose(settings: Settings, pod: str | None, output: Output, file: TextIO) -> int:
    """Print the problems of one pod, or of all pods of this node (None). Arguments and errors: look/diagnoses.py."""
    with survey(settings) as found:
        try:
            show(diagnoses.diagnose(found, pod), output, file)
        finally:
            say(found.troubles)
    return EXIT_OK
