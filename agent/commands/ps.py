"""``oomward ps`` without an agent: from the node, the API and the ledger. Reads only; needs no API."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from agent.commands import EXIT_OK
from agent.commands.output.streams import say
from agent.commands.output.table import Output, show
from agent.commands.survey import survey
from agent.commands.watching import wait_beside, watch
from agent.look.containers import containers
from agent.settings import Settings
from agent.wording.view import Shown


def ps(
    settings: Settings,
    output: Output,
    file: TextIO,
    *,
    watch_s: float | None,
    wait: Callable[[float], object] | None = None,
) -> int:
    """Print the containers, once or every ``watch_s`` seconds until Ctrl-C. Errors go to standard error."""

    def look() -> Shown:
        with survey(settings) as found:
            return containers(found)

    if watch_s is not None:
        return watch(look, output, file, watch_s, wait or wait_beside(file))
    shown = look()
    show(shown, output, file)
    say(shown.troubles)
    return EXIT_OK
