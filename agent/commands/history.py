"""``oomward history``: the kills in the ledger, newest first. Reads only the ledger; needs no running agent and no API."""

from __future__ import annotations

import time
from typing import TextIO

from agent.commands import EXIT_OK
from agent.commands.looking import say
from agent.commands.output.screen import show_kills
from agent.commands.output.table import Output
from agent.ledger import LedgerReader
from agent.model import AgentError
from agent.settings import Settings
from agent.wording.kills import safe


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
    namespace, pod = _asked(namespace, pod)
    since_unix_s = 0.0 if since_s is None else time.time() - since_s
    reader = LedgerReader(settings.state_dir)
    try:
        kills = reader.kills(since_unix_s=since_unix_s, namespace=namespace, pod=pod, limit=limit + 1)
        bad = reader.bad_rows
    finally:
        reader.close()
    show_kills(kills[:limit], output, file)
    if len(kills) > limit:
        say([f"these are the newest {limit} kills of more: raise --limit to see them"])
    if bad:
        them = "1 kill" if bad == 1 else f"{bad} kills"
        say(
            [f"left out {them} that cannot be read in the ledger in {settings.state_dir} (written by a newer oomward?)"]
        )
    return EXIT_OK


def _asked(namespace: str | None, pod: str | None) -> tuple[str | None, str | None]:
    """Split ``namespace/name``."""
    if pod is None or "/" not in pod:
        return namespace, pod
    own, _, name = pod.partition("/")
    if namespace not in (None, own):
        raise AgentError(f"pod {safe(pod, 320)} is not in namespace {safe(namespace or '')}: give only one namespace")
    return own, name
