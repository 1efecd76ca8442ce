"""The cgroup hierarchy: its version, memory.oom.group, the kubepods roots, and the memory controller."""

from __future__ import annotations

import time
from collections.abc import Iterator

from agent.cgroup.files import CgroupError
from agent.cgroup.layout import LOCAL_EVENTS, LOCAL_EVENTS_ADVICE, MISMATCH, Hierarchy
from agent.cgroup.proof import prove_oom_group
from agent.cgroup.tree import Tree
from agent.commands.output.checklist import Check
from agent.commands.probes.answers import count, failed, passed, some, warned
from agent.commands.survey import Survey
from agent.model import Cgroup, WriteOutcome

FILE = "memory.oom.group"
TO_V2 = (
    "Nothing for mode single. For mode group, use a node with cgroup v2 (boot with systemd.unified_cgroup_hierarchy=1); the "
    "kubelet refuses v1 by default since 1.35."
)
NO_ROOTS = (
    "In a container, mount the host's /sys/fs/cgroup (hostPath) and give it as --cgroup-mount; on a new node, start the "
    "kubelet first."
)
CONTROLLER_ON = "echo +memory > cgroup.subtree_control of each cgroup from the mount's top down to the pod's"


def version(hierarchy: Hierarchy) -> Iterator[Check]:
    """cgroup v1 or v2. On v1 every OOM kill ends one process, and mode group is not available."""
    where = f"at {hierarchy.memory_mount}"
    if hierarchy.version == "v1":
        beside = " beside a v2 tree without it (hybrid)" if hierarchy.hybrid else ""
        yield warned(
            "cgroup version",
            f"memory is on cgroup v1 {where}{beside}: each OOM kill ends one process, and mode group is not available",
            TO_V2,
        )
        return
    notes = ", v1 hierarchies for the rest (hybrid)" if hierarchy.hybrid else ""
    if hierarchy.local_events:
        yield warned("cgroup version", f"v2 {where}{notes}, {LOCAL_EVENTS}", LOCAL_EVENTS_ADVICE)
    else:
        yield passed("cgroup version", f"v2 {where}{notes}")


def oom_group(hierarchy: Hierarchy) -> Iterator[Check]:
    """Whether memory.oom.group can be written: tested in a cgroup created for it (cgroup/proof.py)."""
    if hierarchy.version == "v1":
        yield warned(FILE, "cgroup v1 has no memory.oom.group: nothing is written on this node", "See cgroup version.")
        return
    proof = prove_oom_group(hierarchy.memory_mount)
    mount = hierarchy.memory_mount
    match proof.outcome:
        case WriteOutcome.WRITTEN if not proof.detail:
            yield passed(FILE, f"written and read back in a test cgroup in {mount}")
        case WriteOutcome.WRITTEN:
            yield warned(FILE, f"can be written{proof.detail}", "Remove that empty directory with rmdir.")
        case WriteOutcome.DENIED:
            yield failed(
                FILE,
                f"cannot be written in {mount}: {proof.detail}",
                "Run as root with the host's /sys/fs/cgroup mounted read-write; on SELinux nodes as spc_t (privileged).",
            )
        case WriteOutcome.CONFLICT:
            yield failed(
                FILE,
                f"does not keep the written value: {proof.detail}",
                "Find the program that writes it too: another agent, or a unit manager.",
            )
        case _:
            yield failed(
                FILE,
                f"does not exist in {mount}: {proof.detail}",
                f"With Linux 4.19 or newer: {CONTROLLER_ON}. The kubelet and systemd do this where they run pods.",
            )


def roots(found: Survey) -> Iterator[Check]:
    """The kubepods roots and the cgroup driver that made them (kubelet: cgroupDriver)."""
    paths = sorted(root.path for root in found.tree.roots)
    strays = [cgroup.path for cgroup in found.containers() if _is_stray(cgroup)]
    if strays:
        yield warned(
            "cgroup driver",
            f"{count(len(strays), 'container')} outside of kubepods ({some(strays)}): the runtime uses the kubelet's systemd "
            "names as cgroupfs paths, so the limits of their pods do not apply to them",
            "Give kubelet (cgroupDriver) and runtime (SystemdCgroup) the same driver, and restart these pods.",
        )
    asked, mount = found.settings.cgroup_roots, found.hierarchy.memory_mount
    missing = [path for path in asked if path not in found.tree.cgroups]
    if missing:
        yield failed(
            "kubepods roots",
            f"--cgroup-root names {some(missing)}, but there is no such kubepods cgroup below {mount}{_others(found)}",
            "Remove cgroupRoots to find all roots, or give paths relative to the mount.",
        )
    elif not paths:
        found_none = (
            f"no kubepods cgroup below {mount}: no kubelet runs pods here, or this is not the node's own cgroup tree"
        )
        yield failed("kubepods roots", found_none, NO_ROOTS)
    else:
        drivers = {"systemd" if path.endswith(".slice") else "cgroupfs" for path in paths}
        yield passed("kubepods roots", f"{some(paths)}, cgroup driver {' and '.join(sorted(drivers))}")


def _others(found: Survey) -> str:
    tree = Tree(found.files)
    try:
        tree.scan(time.monotonic())
        others = [
            *(root.path for root in tree.roots),
            *(path for path in tree.cgroups if MISMATCH.match(path.rpartition("/")[2])),
        ]
    finally:
        tree.close()
    return f"; found instead: {some(others)}" if others else ""


def _is_stray(cgroup: Cgroup) -> bool:
    return any(MISMATCH.match(part) for part in cgroup.path.split("/"))


def memory_controller(found: Survey) -> Iterator[Check]:
    """Whether the memory controller is on in every container's cgroup: counters, limits and memory.oom.group need it."""
    containers = found.containers()
    reached = [*containers, *(child for child in map(found.child, containers) if child)] or list(found.tree.roots)
    without, reason = [], ""
    for cgroup in reached:
        try:
            found.files.memory_events(cgroup)
        except CgroupError as error:
            without.append(cgroup.path)
            reason = reason or str(error)
    if without:
        yield failed(
            "memory controller",
            f"{count(len(without), 'cgroup')} without OOM counters ({some(without)}): {reason}",
            f"Enable it: {CONTROLLER_ON}. Or find out what disabled it.",
        )
    elif containers:
        yield passed(
            "memory controller", f"enabled in all {count(len(containers), 'cgroup')} of containers and sandboxes"
        )
    elif reached:
        yield passed("memory controller", "enabled at the kubepods roots; no container runs yet")
    else:
        yield passed("memory controller", f"enabled at {found.hierarchy.memory_mount}; no container runs yet")
