"""``oomward ps``: every running container of this node, its desired and actual mode, its memory and its kills.

Needs no running agent and no API: what has no name is shown by pod uid and container id.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from agent.commands import EXIT_OK
from agent.commands.looking import GoneError, Reads, Recorded, mode_of, recorded, say
from agent.commands.output.containers import CONTAINERS, ContainerRow, ContainersScreen
from agent.commands.output.table import Output
from agent.commands.survey import Survey, survey
from agent.model import Cgroup
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
    if watch_s is None:
        rows, troubles = _look(settings)
        CONTAINERS.show(rows, output, file)
        say(troubles)
        return EXIT_OK
    last: list[str] = []
    try:
        with ContainersScreen(output, file) as screen:
            while True:
                rows, troubles = _look(settings)
                screen.show(rows, troubles, time.time())
                if not screen.live and troubles != last:
                    say(troubles)
                last = troubles
                wait(watch_s)
    except KeyboardInterrupt:
        return EXIT_OK


def _look(settings: Settings) -> tuple[list[ContainerRow], list[str]]:
    """The rows by namespace, pod and container, and the errors."""
    with survey(settings) as found:
        known = recorded(found)
        rows = [row for cgroup in found.containers() if (row := _row(found, cgroup, known)) is not None]
    return sorted(rows, key=_by_name), found.troubles


def _by_name(row: ContainerRow) -> tuple[str, ...]:
    return row.namespace or "", row.pod or row.pod_uid or "", row.container or row.container_id or ""


def _row(found: Survey, cgroup: Cgroup, known: Recorded) -> ContainerRow | None:
    """None: a pause sandbox, or removed meanwhile."""
    if found.is_sandbox(cgroup):
        return None
    identity, reads = found.identity(cgroup), Reads(found, cgroup)
    try:
        wish = reads.take("mode_wanted", found.wish)
        values = reads.take("mode_actual", found.oom_groups)
        limit, usage, peak = reads.sizes()
        kills = known.killed_in(identity)
        if kills is None and (events := reads.take("kills", found.files.memory_events)) is not None:
            # A group kill counts its first victim twice (measured, 6.1 and 6.12).
            kills = events.oom_kill - (events.oom_group_kill or 0)
    except GoneError:
        return None
    return ContainerRow(
        identity.namespace,
        identity.pod,
        identity.container,
        known.desired(cgroup, wish.decision.mode if wish is not None else None),
        mode_of(values),
        limit,
        usage,
        peak,
        kills,
        known.tolerated.get(cgroup.inode),
        identity.pod_uid,
        cgroup.place.container_id,
        cgroup.path,
        tuple(sorted(reads.unread)),
    )
