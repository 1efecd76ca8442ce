"""What the kernel counted, for every container that ever ran: the lab's own books, to hold against the agent's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.lab.cgroups import memory_events
from tests.lab.spec import Instance


@dataclass(frozen=True, slots=True)
class Truth:
    """Processes killed in one container: between these two, since a group kill's first may be counted twice by the kernel.

    ``unseen``: it ended while no agent could read its counter, so that the log alone could tell whose its kills were.
    """

    container_id: str
    pod: str
    least: int
    most: int
    unseen: bool


def truths(instances: Sequence[Instance], blind: Sequence[tuple[float, float]]) -> list[Truth]:
    """Of all containers, those that run included."""
    found = []
    for instance in instances:
        events = memory_events(instance.path) if instance.running else instance.events
        raw, groups = events.get("oom_kill", 0), events.get("oom_group_kill", 0)
        ended = instance.ended_s
        unseen = ended is not None and any(began <= ended <= until for began, until in blind)
        found.append(Truth(instance.container_id, instance.pod.name, raw - groups, raw, unseen))
    return found


def disagreements(truths: Sequence[Truth], recorded: dict[str, int], nameless: int) -> list[str]:
    """Where the ledger says something else. ``recorded``: processes by container id; ``nameless``: killed in pods, no container known."""
    strangers = recorded.keys() - {truth.container_id for truth in truths}
    found = [f"the ledger has {recorded[stranger]} kills in {stranger}, which never ran" for stranger in strangers]
    for truth in truths:
        said = recorded.get(truth.container_id, 0)
        too_few = said < truth.least and not truth.unseen
        if said > truth.most or too_few:
            found.append(
                f"{truth.pod} ({truth.container_id[:12]}): the kernel counted {truth.least} to {truth.most}, the ledger has {said}"
            )
    least, most = sum(t.least for t in truths), sum(t.most for t in truths)
    total = sum(recorded.values()) + nameless
    if not least <= total <= most:
        found.append(
            f"in all the kernel counted {least} to {most}, the ledger has {total} ({nameless} of them nameless)"
        )
    return found


@dataclass(frozen=True, slots=True)
class PodTruth:
    """As Truth, of a whole pod: its cgroup has counted the kills in all of its containers, those that are gone included."""

    uid: str
    pod: str
    least: int
    most: int
    unseen: bool


def pod_disagreements(truths: Sequence[PodTruth], recorded: dict[str, int], nameless: int) -> list[str]:
    """Where the ledger says something else. ``recorded``: processes by pod; ``nameless``: no pod is known."""
    found = [
        f"the ledger has {recorded[stranger]} kills in pod {stranger}, which never ran"
        for stranger in recorded.keys() - {truth.uid for truth in truths}
    ]
    for truth in truths:
        said = recorded.get(truth.uid, 0)
        if said > truth.most or (said < truth.least and not truth.unseen):
            found.append(f"{truth.pod}: the kernel counted {truth.least} to {truth.most}, the ledger has {said}")
    lacking = sum(max(0, truth.most - recorded.get(truth.uid, 0)) for truth in truths)
    if nameless > lacking:
        found.append(f"{nameless} nameless kills, where {lacking} at most are nobody's")
    return found
