"""How much of each container's tolerance is used up, from the ledger. Reads only."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from agent.cgroup.files import CgroupError
from agent.commands.output.containers import Tolerated
from agent.commands.output.explanation import ContainerExplanation
from agent.commands.survey import Survey
from agent.kernel.kmsg import boot_id
from agent.ledger import LedgerReader, NoLedgerError
from agent.model import Cgroup, Mode
from agent.modes.desired import DesiredMode
from agent.modes.tolerance import exceeded, killed_recently


def tolerances(found: Survey, troubles: list[str], unix_s: Callable[[], float] = time.time) -> dict[int, Tolerated]:
    """By the container's inode; containers without a tolerance or without mode single are left out."""
    tolerant = [(cgroup, wish) for cgroup in found.containers() if (wish := _tolerant(found, cgroup)) is not None]
    if not tolerant:
        return {}
    try:
        reader = LedgerReader(found.settings.state_dir)
    except NoLedgerError:
        return {}  # reported already, with the number of kills
    try:
        return {cgroup.inode: _state(reader, cgroup, wish, unix_s()) for cgroup, wish in tolerant}
    except NoLedgerError as error:
        troubles.append(str(error))
        return {}
    finally:
        reader.close()


def with_tolerance(one: ContainerExplanation, tolerated: Tolerated | None) -> ContainerExplanation:
    """Add the tolerance; the desired mode of an armed container is group."""
    if tolerated is None:
        return one
    return replace(one, tolerated=tolerated, mode_wanted=Mode.GROUP if tolerated.armed else one.mode_wanted)


def _tolerant(found: Survey, cgroup: Cgroup) -> DesiredMode | None:
    try:
        wish = found.wish(cgroup)
    except CgroupError:
        return None  # reported where its mode is read
    single = wish.decision.mode is Mode.SINGLE and wish.tolerance is not None and wish.pod_uid is not None
    return wish if single else None


def _state(reader: LedgerReader, cgroup: Cgroup, wish: DesiredMode, now_unix_s: float) -> Tolerated:
    assert wish.tolerance is not None and wish.pod_uid is not None  # noqa: PT018
    kills = [k for k in reader.kills_in(wish.pod_uid, boot_id(), cgroup.inode) if k.cgroup_path == cgroup.path]
    armed = exceeded(kills, wish.tolerance) is not None
    return Tolerated(wish.tolerance, killed_recently(kills, wish.tolerance, now_unix_s), armed)
