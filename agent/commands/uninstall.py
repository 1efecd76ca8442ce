"""``oomward uninstall``: restore every value on this node, then remove the systemd drop-in and the ledger.

Needs no API. In a pod, ``--stay`` keeps the container running when all is done, and ``--done`` is its readiness probe.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from agent.commands import EXIT_FAILED, EXIT_OK, once
from agent.commands.oom_policy import BY_HAND
from agent.commands.output.streams import flush, say
from agent.commands.output.table import Output
from agent.model import AgentError
from agent.runtime.drop_in import DropIns, NoSystemdError, reload_systemd
from agent.runtime.oom_policy import OomPolicies
from agent.settings import Settings

OURS = ("ledger.*", "agent.lock", "agent.sock")  # another program may have files in the same folder
ENDING = (signal.SIGTERM, signal.SIGINT)  # SIGTERM does not end PID 1 of a container by itself


def uninstall(
    settings: Settings,
    output: Output,
    file: TextIO,
    *,
    stay: bool = False,
    done: bool = False,
    policies: OomPolicies | None = None,
    reload: Callable[[], bool] = reload_systemd,
) -> int:
    """Restore, then remove. Returns 1 if a value is not restored or a file not removed; the ledger stays until all values are.

    With ``stay`` it waits for SIGTERM when all is done. With ``done`` it changes nothing, and returns 1 if anything is left.
    Raises LockedError while an agent runs with this state directory.
    """
    if done:
        return EXIT_FAILED if _files(settings.state_dir) else EXIT_OK
    if once.restore(settings, output, file) != EXIT_OK:
        say([f"the ledger in {settings.state_dir} stays: without it these values can't be restored"])
        return EXIT_FAILED
    _remove_drop_ins(policies or OomPolicies.of_node(), reload)
    if not _remove(_files(settings.state_dir)):
        return EXIT_FAILED
    if stay:  # before it says so
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    say(["nothing of oomward is left on this node"])
    if stay:
        flush()
        signal.sigwait(ENDING)
    return EXIT_OK


def _files(state_dir: Path) -> list[Path]:
    return sorted(path for pattern in OURS for path in state_dir.glob(pattern))


def _remove(files: list[Path]) -> bool:
    for path in files:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            say([f"cannot remove {path}: {error.strerror}"])
            return False
    return True


def _remove_drop_ins(policies: OomPolicies, reload: Callable[[], bool]) -> None:
    """Those that are there. One that stays is reported only: it does nothing without oomward, and /run is empty after a reboot."""
    try:
        drop_ins = DropIns(policies)
        installed = drop_ins.installed()
        if installed and drop_ins.remove(installed) and not reload():
            say([f"the drop-ins are removed, but systemd could not be asked to read its files: {BY_HAND}"])
    except NoSystemdError:
        return
    except AgentError as error:
        say([f"{error}; the drop-in stays until the node restarts, and does nothing without oomward"])
