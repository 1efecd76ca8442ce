"""``oomward history``: the kills in the ledger, newest first. Reads only the ledger; needs no running agent and no API."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TextIO

from agent.commands import EXIT_OK
from agent.commands.looking import say
from agent.commands.output.screen import KILLS
from agent.commands.output.table import Output
from agent.ledger import LedgerReader
from agent.model import AgentError
from agent.settings import Settings
from agent.wording.text import count, safe


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
    """Print at most ``limit`` kills. None matches any; ``pod`` is a name or namespace/name; ``since_s`` counts back from now.

    Raises NoLedgerError, and AgentError if ``pod`` and ``namespace`` contradict each other.
    """
    if pod is not None and "/" in pod:
        own, _, name = pod.partition("/")
        if namespace not in (None, own):
            where = f"is not in namespace {safe(namespace or '')}"
            raise AgentError(f"pod {safe(pod, 320)} {where}: give only one namespace")
        namespace, pod = own, name
    since_unix_s = 0.0 if since_s is None else time.time() - since_s
    with closing(LedgerReader(settings.state_dir)) as reader:
        kills = reader.kills(since_unix_s=since_unix_s, namespace=namespace, pod=pod, limit=limit + 1)
    KILLS.show(kills[:limit], output, file)
    if len(kills) > limit:
        say([f"these are the newest {limit} kills of more: raise --limit to see them"])
    if reader.bad_rows:
        them = f"{count(reader.bad_rows, 'kill')} that cannot be read in the ledger in {settings.state_dir}"
        say([f"left out {them} (written by a newer oomward?)"])
    return EXIT_OK
