"""``oomward history`` without an agent: from the ledger alone; it needs the API only for the labels of ``--selector``."""

from __future__ import annotations

from typing import TextIO

from agent.commands import EXIT_OK
from agent.commands.output.streams import say
from agent.commands.output.table import Output, show
from agent.commands.survey import survey
from agent.commands.watching import wait_beside, watch
from agent.look import kills
from agent.look.which import ANY, Which, uids_of
from agent.settings import Settings
from agent.wording.view import Shown


def history(
    settings: Settings,
    output: Output,
    file: TextIO,
    *,
    pod: str | None = None,
    since_unix_s: float | None = None,
    limit: int = 100,
    which: Which = ANY,
    watch_s: float | None = None,
) -> int:
    """Print kills: look/kills.py has the arguments and errors."""

    def look() -> Shown:
        troubles, uids = [], None
        if which.selector is not None:
            with survey(settings) as found:
                uids, troubles = uids_of(found, which), found.troubles
        where = settings.state_dir
        shown = kills.history(where, which=which, uids=uids, pod=pod, since_unix_s=since_unix_s, limit=limit)
        return Shown(shown.document, shown.view, [*troubles, *shown.troubles])

    if watch_s is not None:
        return watch(look, output, file, watch_s, wait_beside(file))
    shown = look()
    show(shown, output, file)
    say(shown.troubles)
    return EXIT_OK
