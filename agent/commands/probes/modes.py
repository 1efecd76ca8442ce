"""Which values of memory.oom.group are here before anybody asked: what the kubelet writes, and what stands above containers."""

from __future__ import annotations

from collections.abc import Iterator

from agent.cgroup.layout import classify
from agent.commands.output.checklist import Check
from agent.commands.probes.answers import count, failed, passed, some, warned
from agent.commands.survey import Survey
from agent.model import Cgroup, CgroupKind, Mode, Vanished

ABOVE_CONTAINERS = (CgroupKind.KUBEPODS, CgroupKind.QOS, CgroupKind.POD)
KUBELET = "kubelet"
ON_V1 = "cgroup v1: nobody writes memory.oom.group"


def kubelet(found: Survey) -> Iterator[Check]:
    """Whether the kubelet runs with singleProcessOOMKill: from containers that nobody asked a mode for.

    The kubelet writes 1 to each new container since 1.28, and nothing with singleProcessOOMKill: true (since 1.32); it never
    writes 0. Pause sandboxes are always 0, so only containers that the API names count.
    """
    if found.hierarchy.version == "v1":
        yield passed(KUBELET, ON_V1)
        return
    values = _unasked(found)
    zeros = sorted(name for name, value in values if value == 0)
    if not values:
        yield warned(
            KUBELET,
            "whether it runs with singleProcessOOMKill is not known: no container that the API names and nobody asked a mode for",
            "Start a pod without a mode (with the API reachable) and run the check again.",
        )
    elif not zeros:
        yield passed(
            KUBELET,
            f"runs without singleProcessOOMKill: 1 on {_all(len(values))} that nobody asked a mode for. A kill takes the whole "
            "container, unless mode single says otherwise",
        )
    elif len(zeros) == len(values):
        yield passed(
            KUBELET,
            f"runs with singleProcessOOMKill, or is older than 1.28: 0 on {_all(len(values))} that nobody asked a mode for. "
            "A kill takes one process, unless mode group says otherwise",
        )
    else:
        yield warned(
            KUBELET,
            f"{len(zeros)} of {count(len(values), 'container')} that nobody asked a mode for have 0 ({some(zeros)}), the others 1: "
            "its singleProcessOOMKill was changed while they ran, or systemd wrote 0 to them after a daemon-reload",
            "Give them the mode that they should have (label oomward.dev/mode), and it is held; or restart their pods.",
        )


def _all(number: int) -> str:
    return "the one container" if number == 1 else f"all {number} containers"


def _unasked(found: Survey) -> list[tuple[str, int]]:
    """Name and value of each container that is known by name and left alone."""
    values = []
    for container in found.containers():
        named, pod = found.registry.identity(container.place), found.registry.pod_of(container.place)
        if not found.registry.listed or named is None or pod is None or found.wish(container).decision.mode is not None:
            continue
        value = found.files.read_oom_group(found.child(container) or container)
        if not isinstance(value, Vanished):
            values.append((f"{named.namespace}/{named.pod} {named.container}", value))
    return values


def ancestors(found: Survey) -> Iterator[Check]:
    """Whether group is set above containers: the kernel takes the highest one within the OOM domain that has it set.

    Then all below it dies, whatever the container says (mem_cgroup_get_oom_group, mm/memcontrol.c; cgroup-v2.rst).
    """
    if found.hierarchy.version == "v1":
        yield passed("ancestors", ON_V1)
        return
    above = _above_containers(found)
    grouped = sorted(cgroup.path for cgroup in above if found.files.read_oom_group(cgroup) == 1)
    if not above:
        yield passed("ancestors", "no cgroup above containers is there yet")
        return
    if not grouped:
        yield passed(
            "ancestors", f"0 at all {count(len(above), 'cgroup')} above containers (pods, QoS, kubepods and up)"
        )
        return
    singles = [c.path for c in found.containers() if found.wish(c).decision.mode is Mode.SINGLE]
    spoiled = [path for path in singles if any(path.startswith(f"{at}/") for at in grouped)]
    told = f"memory.oom.group is 1 at {some(grouped)}: when the limit of that level or of one above it is hit, all below dies"
    mend = "Write 0 there, and find out who set it: OOMPolicy=kill of a systemd slice, or another agent."
    if spoiled:
        yield failed("ancestors", f"{told}. {count(len(spoiled), 'container')} in mode single would", mend)
    else:
        yield warned("ancestors", f"{told}. No container in mode single is there now", mend)


def _above_containers(found: Survey) -> list[Cgroup]:
    """kubepods roots, QoS levels, pods, and what is above the roots but for the hierarchy's own root, which has no such file."""
    above = {c.path: c for c in found.tree.cgroups.values() if c.place.kind in ABOVE_CONTAINERS}
    for root in found.tree.roots:
        path = root.path
        while path := path.rpartition("/")[0]:
            inode = found.files.inode(path)
            if not isinstance(inode, Vanished):
                above[path] = Cgroup(classify(path), inode)
    return list(above.values())
