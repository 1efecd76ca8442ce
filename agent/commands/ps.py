"""``oomward ps``: every running container of this node, its desired and actual mode, its memory and its kills.

Needs no running agent and no API: what has no name is shown by pod uid and container id.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from agent.commands import EXIT_OK
from agent.commands.looking import (
    GoneError,
    LedgerFacts,
    Reads,
    identity_of,
    is_sandbox,
    knobs,
    mode_of,
    processes_counted,
    read_ledger,
    say,
)
from agent.commands.output.containers import ContainerRow, ContainersScreen, Tolerated, show_containers
from agent.commands.output.table import Output
from agent.commands.survey import Survey, survey
from agent.commands.tolerances import tolerances
from agent.model import Cgroup, Mode
from agent.settings import Settings


def ps(
    settings: Settings,
    output: Output,
    file: TextIO,
    *,
    watch_s: float | None,
    wait: Callable[[float], object] = time.sleep,
) -> int:
    """Print the containers, once or every ``watch_s`` seconds until Ctrl-C. Errors go to standard error.

    Pause sandboxes are left out if the API is reachable.
    """
    if watch_s is not None:
        return _watch(settings, output, file, lambda: wait(watch_s))
    rows, troubles = look(settings)
    show_containers(rows, output, file)
    say(troubles)
    return EXIT_OK


def look(settings: Settings) -> tuple[list[ContainerRow], list[str]]:
    """The rows by namespace, pod and container, and the errors."""
    with survey(settings) as found:
        troubles = list(found.troubles)
        ledger = read_ledger(settings, troubles)
        used = tolerances(found, troubles)
        made = (_row(found, cgroup, ledger, used.get(cgroup.inode), troubles) for cgroup in found.containers())
        rows = [row for row in made if row is not None]
    return sorted(rows, key=_by_name), troubles


def _watch(settings: Settings, output: Output, file: TextIO, pause: Callable[[], object]) -> int:
    last: list[str] = []
    try:
        with ContainersScreen(output, file) as screen:
            while True:
                rows, troubles = look(settings)
                screen.show(rows, troubles, time.time())
                if not screen.live and troubles != last:
                    say(troubles)
                last = troubles
                pause()
    except KeyboardInterrupt:
        return EXIT_OK


def _row(
    found: Survey, cgroup: Cgroup, ledger: LedgerFacts, tolerated: Tolerated | None, troubles: list[str]
) -> ContainerRow | None:
    """None: a pause sandbox, or removed meanwhile."""
    if is_sandbox(found, cgroup):
        return None
    identity = identity_of(found, cgroup)
    reads, files = Reads(troubles), found.files
    try:
        wish = reads.take("mode_wanted", lambda: found.wish(cgroup))
        return ContainerRow(
            identity.namespace,
            identity.pod,
            identity.container,
            Mode.GROUP if tolerated and tolerated.armed else wish.decision.mode if wish is not None else None,
            mode_of(reads.take("mode_actual", lambda: knobs(found, cgroup))),
            reads.take("limit_bytes", lambda: found.limit_bytes(cgroup)),
            reads.take("usage_bytes", lambda: files.usage_bytes(cgroup)),
            reads.take("peak_bytes", lambda: files.peak_bytes(cgroup)),
            _kills(found, cgroup, ledger.killed_in(identity), reads),
            pod_uid=identity.pod_uid,
            container_id=cgroup.place.container_id,
            path=cgroup.path,
            unread=tuple(sorted(reads.unread)),
            tolerated=tolerated,
        )
    except GoneError:
        return None


def _kills(found: Survey, cgroup: Cgroup, recorded: int | None, reads: Reads) -> int | None:
    """From the ledger, or from the kernel's counters without a ledger or a container name."""
    if recorded is not None:
        return recorded
    return processes_counted(reads.take("kills", lambda: found.files.memory_events(cgroup)))


def _by_name(row: ContainerRow) -> tuple[str, ...]:
    return row.namespace or "", row.pod or row.pod_uid or "", row.container or row.container_id or ""
