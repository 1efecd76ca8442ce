"""The cgroup hierarchy: its version, memory.oom.group, the kubepods roots, and the memory controller."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from agent.cgroup.files import CgroupError
from agent.cgroup.layout import LOCAL_EVENTS, LOCAL_EVENTS_ADVICE, MISMATCH, Hierarchy, find_hierarchy
from agent.cgroup.proof import prove_oom_group
from agent.cgroup.tree import Tree
from agent.commands.probes.checks import Check, failed, guarded, passed, warned
from agent.commands.survey import OwnSurvey
from agent.model import WriteOutcome
from agent.wording.text import count, some

FILE = "memory.oom.group"
TO_V2 = (
    "Nothing for mode single. For mode group, use a node with cgroup v2 (boot with systemd.unified_cgroup_hierarchy=1); the "
    "kubelet refuses v1 by default since 1.35."
)
NO_ROOTS = (
    "In a container, mount the host's /sys/fs/cgroup (hostPath) and give it as --cgroup-mount; on a new node, start the "
    "kubelet first."
)
OTHER_DRIVER = (
    "the runtime uses the kubelet's systemd names as cgroupfs paths, so the limits of their pods do not apply to them"
)
SAME_DRIVER = "Give kubelet (cgroupDriver) and runtime (SystemdCgroup) the same driver, and restart these pods."
CONTROLLER_ON = "echo +memory > cgroup.subtree_control of each cgroup from the mount's top down to the pod's"


def hierarchy(cgroup_mount: Path) -> Iterator[Check]:
    """The version, and memory.oom.group."""
    found = find_hierarchy(cgroup_mount)
    yield from version(found)
    yield from guarded(FILE, oom_group, found)


def version(hierarchy: Hierarchy) -> Iterator[Check]:
    """cgroup v1 or v2. On v1 every OOM kill ends one process, and mode group is not available."""
    where = f"at {hierarchy.memory_mount}"
    if hierarchy.version == "v1":
        beside = " beside a v2 tree without it (hybrid)" if hierarchy.hybrid else ""
        effect = "each OOM kill ends one process, and mode group is not available"
        yield warned("cgroup version", f"memory is on cgroup v1 {where}{beside}: {effect}", TO_V2)
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
    mount = hierarchy.memory_mount
    proof = prove_oom_group(mount)
    match proof.outcome:
        case WriteOutcome.WRITTEN if not proof.detail:
            yield passed(FILE, f"written and read back in a test cgroup in {mount}")
        case WriteOutcome.WRITTEN:
            yield warned(FILE, f"can be written{proof.detail}", "Remove that empty directory with rmdir.")
        case WriteOutcome.DENIED:
            advice = (
                "Run as root with the host's /sys/fs/cgroup mounted read-write; on SELinux nodes as spc_t (privileged)."
            )
            yield failed(FILE, f"cannot be written in {mount}: {proof.detail}", advice)
        case WriteOutcome.CONFLICT:
            advice = "Find the program that writes it too: another agent, or a unit manager."
            yield failed(FILE, f"does not keep the written value: {proof.detail}", advice)
        case _:
            advice = f"With Linux 4.19 or newer: {CONTROLLER_ON}. The kubelet and systemd do this where they run pods."
            yield failed(FILE, f"does not exist in {mount}: {proof.detail}", advice)


def roots(found: OwnSurvey) -> Iterator[Check]:
    """The kubepods roots and the cgroup driver that made them (kubelet: cgroupDriver)."""
    strays = [c.path for c in found.containers() if any(MISMATCH.match(part) for part in c.path.split("/"))]
    if strays:
        where = f"{count(len(strays), 'container')} outside of kubepods ({some(strays)})"
        yield warned("cgroup driver", f"{where}: {OTHER_DRIVER}", SAME_DRIVER)
    paths, mount = sorted(root.path for root in found.tree.roots), found.hierarchy.memory_mount
    missing = [path for path in found.settings.cgroup_roots if path not in found.tree.cgroups]
    if missing:
        others = _others(found)
        instead = f"; found instead: {some(others)}" if others else ""
        what = f"--cgroup-root names {some(missing)}, but there is no such kubepods cgroup below {mount}{instead}"
        advice = "Remove cgroupRoots to find all roots, or give paths relative to the mount."
        yield failed("kubepods roots", what, advice)
    elif not paths:
        why = "no kubelet runs pods here, or this is not the node's own cgroup tree"
        yield failed("kubepods roots", f"no kubepods cgroup below {mount}: {why}", NO_ROOTS)
    else:
        drivers = {"systemd" if path.endswith(".slice") else "cgroupfs" for path in paths}
        yield passed("kubepods roots", f"{some(paths)}, cgroup driver {' and '.join(sorted(drivers))}")


def _others(found: OwnSurvey) -> list[str]:
    """Paths of the roots that are there, whatever the settings name."""
    with closing(Tree(found.files)) as tree:
        tree.scan(time.monotonic())
        strays = (path for path in tree.cgroups if MISMATCH.match(path.rpartition("/")[2]))
        return [*(root.path for root in tree.roots), *strays]


def memory_controller(found: OwnSurvey) -> Iterator[Check]:
    """Whether the memory controller is on in every container's cgroup: counters, limits and memory.oom.group need it."""
    name, containers = "memory controller", found.containers()
    reached = [*containers, *(child for child in map(found.child, containers) if child)] or list(found.tree.roots)
    without, reason = [], ""
    for cgroup in reached:
        try:
            found.files.memory_events(cgroup)
        except CgroupError as error:
            without.append(cgroup.path)
            reason = reason or str(error)
    if without:
        what = f"{count(len(without), 'cgroup')} without OOM counters ({some(without)}): {reason}"
        yield failed(name, what, f"Enable it: {CONTROLLER_ON}. Or find out what disabled it.")
    elif containers:
        yield passed(name, f"enabled in all {count(len(containers), 'cgroup')} of containers and sandboxes")
    else:
        where = "the kubepods roots" if reached else found.hierarchy.memory_mount
        yield passed(name, f"enabled at {where}; no container runs yet")
