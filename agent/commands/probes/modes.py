"""memory.oom.group without oomward: what the kubelet writes, and the values above containers."""

from __future__ import annotations

from collections.abc import Iterator

from agent.cgroup.layout import classify
from agent.commands.output.checklist import Check
from agent.commands.probes.answers import count, failed, passed, some, warned
from agent.commands.survey import Survey
from agent.model import Cgroup, CgroupKind, Mode, Vanished

ABOVE_CONTAINERS = (CgroupKind.KUBEPODS, CgroupKind.QOS, CgroupKind.POD)
KUBELET = "kubelet"
ON_V1 = "cgroup v1 has no memory.oom.group"


def kubelet(found: Survey) -> Iterator[Check]:
    """Whether the kubelet runs with singleProcessOOMKill, seen on containers without a requested mode.

    Since 1.28 the kubelet writes 1 to each new container, or nothing with singleProcessOOMKill: true (since 1.32); it never
    writes 0. Pause sandboxes are always 0, so only containers known to the API count.
    """
    if found.hierarchy.version == "v1":
        yield passed(KUBELET, ON_V1)
        return
    values = _unasked(found)
    zeros = sorted(name for name, value in values if value == 0)
    if not values:
        yield warned(
            KUBELET,
            "cannot see whether singleProcessOOMKill is set: no container known to the API is without a requested mode",
            "Start a pod without a mode (with the API reachable) and run the check again.",
        )
    elif not zeros:
        yield passed(
            KUBELET,
            f"sets memory.oom.group=1 (default since 1.28), seen on {_unasked_text(len(values))}: an OOM kill ends the whole "
            "container, except in mode single",
        )
    elif len(zeros) == len(values):
        yield passed(
            KUBELET,
            f"leaves memory.oom.group=0 (singleProcessOOMKill, or older than 1.28), seen on {_unasked_text(len(values))}: an OOM "
            "kill ends one process, except in mode group",
        )
    else:
        yield warned(
            KUBELET,
            f"memory.oom.group is 0 on {len(zeros)} of {_unasked_text(len(values))} ({some(zeros)}) and 1 on the others: "
            "singleProcessOOMKill was changed while they ran, or systemd wrote 0 after a daemon-reload",
            "Set their mode with the label oomward.dev/mode, which oomward then enforces; or restart their pods.",
        )


def _unasked_text(number: int) -> str:
    return f"{count(number, 'container')} without a requested mode"


def _unasked(found: Survey) -> list[tuple[str, int]]:
    """Name and value of each container that is known by name and has no requested mode."""
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
    """Whether memory.oom.group is 1 above containers: the kernel uses the highest such cgroup within the OOM domain.

    Then everything below it dies, whatever the container's value (mem_cgroup_get_oom_group, mm/memcontrol.c; cgroup-v2.rst).
    """
    if found.hierarchy.version == "v1":
        yield passed("ancestors", ON_V1)
        return
    above = _above_containers(found)
    grouped = sorted(cgroup.path for cgroup in above if found.files.read_oom_group(cgroup) == 1)
    if not above:
        yield passed("ancestors", "no cgroup above containers exists yet")
        return
    if not grouped:
        yield passed(
            "ancestors",
            f"memory.oom.group is 0 in all {count(len(above), 'cgroup')} above containers (pods, QoS, kubepods and up)",
        )
        return
    singles = [c.path for c in found.containers() if found.wish(c).decision.mode is Mode.SINGLE]
    spoiled = [path for path in singles if any(path.startswith(f"{at}/") for at in grouped)]
    text = f"memory.oom.group is 1 at {some(grouped)}: if this level or one above it reaches its limit, everything below is killed"
    advice = "Write 0 there, and find out what set it: OOMPolicy=kill of a systemd slice, or another agent."
    if spoiled:
        yield failed("ancestors", f"{text}, including {count(len(spoiled), 'container')} in mode single", advice)
    else:
        yield warned("ancestors", f"{text}. No container in mode single runs there now", advice)


def _above_containers(found: Survey) -> list[Cgroup]:
    """kubepods roots, QoS levels, pods, and the cgroups above the roots except the top, which has no such file."""
    above = {c.path: c for c in found.tree.cgroups.values() if c.place.kind in ABOVE_CONTAINERS}
    for root in found.tree.roots:
        path = root.path
        while path := path.rpartition("/")[0]:
            inode = found.files.inode(path)
            if not isinstance(inode, Vanished):
                above[path] = Cgroup(classify(path), inode)
    return list(above.values())
