"""Which hierarchy has the memory controller, where its kubepods roots are, and what a path in it is.

Knows the names that kubelet, containerd, CRI-O, cri-dockerd, runc and crun give; it computes no path from QoS and uid.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from agent.model import AgentError, CgroupKind, CgroupPlace, levels_above

HEX64 = r"[0-9a-f]{64}"
UID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
UID_SYSTEMD = r"[0-9a-f]{8}_[0-9a-f]{4}_[0-9a-f]{4}_[0-9a-f]{4}_[0-9a-f]{12}"
HASH = r"[0-9a-f]{32}"
RUNTIMES = {
    "cri-containerd": "containerd",
    "crio": "cri-o",
    "docker": "docker",
    "libpod": "podman",
    "nerdctl": "nerdctl",
}
PREFIX = "|".join(RUNTIMES)

# kubepods.slice, kubepods, kubelet-kubepods.slice, custom-kubepods.slice …
ROOT = re.compile(r"(?:.+-)?kubepods(?:\.slice)?\Z")
QOS = re.compile(r"(?:(?:.+-)?kubepods-)?(burstable|besteffort)(?:\.slice)?\Z")
POD_SYSTEMD = re.compile(rf"(?:.+-)?kubepods(?:-burstable|-besteffort)?-pod({UID_SYSTEMD}|{HASH})\.slice\Z")
POD_CGROUPFS = re.compile(rf"pod({UID}|{HASH})\Z")
SCOPE = re.compile(rf"(?:({PREFIX})-)?({HEX64})\.scope\Z")
BARE = re.compile(rf"(?:({PREFIX})-)?({HEX64})\Z")
MISMATCH = re.compile(
    rf"(?:.+-)?kubepods(?:-burstable|-besteffort)?-pod({UID_SYSTEMD}|{HASH})\.slice:({PREFIX}):({HEX64})\Z"
)
RUNTIME_CHILD = "container"  # crun's own child of a container's cgroup; its execs are in container/exec
MOUNTINFO = Path("/proc/self/mountinfo")  # proc(5); names of mounts are any bytes
MOST_PLACES = 4096  # remembered, some 300 bytes each
# k3s without root: user.slice/user-N.slice/user@N.service/app.slice/k3s-rootless.service/kubepods
MAX_ROOT_DEPTH = 6
LOCAL_EVENTS = (
    "mounted with memory_localevents, which is not supported: kills in cgroups below a container's own are missed"
)
LOCAL_EVENTS_ADVICE = (
    "Remove that option from the mount of cgroup2 and restart the node; up to Linux 6.1 a remount without it is enough."
)


class NoMemoryHierarchyError(AgentError):
    """No cgroup hierarchy below the given mount has the memory controller."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """``memory_mount`` is where the memory controller's cgroups are. ``hybrid``: v1 hierarchies beside a v2 one, ``unified/``.

    ``local_events``: cgroup2 is mounted with memory_localevents, so memory.events counts one cgroup only. That is not supported.
    """

    version: str  # v1 | v2
    memory_mount: Path
    hybrid: bool
    local_events: bool


def find_hierarchy(cgroup_mount: Path, mountinfo: str | None = None) -> Hierarchy:
    """The hierarchy with the memory controller. ``mountinfo``: text of /proc/self/mountinfo (proc(5)); None reads it.

    Raises NoMemoryHierarchyError with what was found instead and what to do.
    """
    controllers, unified = (_controllers(mount) for mount in (cgroup_mount, cgroup_mount / "unified"))
    if controllers is not None and "memory" not in controllers:
        raise NoMemoryHierarchyError(
            f"{cgroup_mount} is a cgroup v2 mount without the memory controller (it has: {' '.join(controllers) or 'none'}). "
            "Boot without cgroup_disable=memory, or mount the host's cgroup root into the agent's container."
        )
    if controllers is not None or "memory" in (unified or ()):
        mount = cgroup_mount if controllers is not None else cgroup_mount / "unified"
        return Hierarchy("v2", mount, hybrid=controllers is None, local_events=_local_events(mount, mountinfo))
    if (cgroup_mount / "memory").is_dir() and (cgroup_mount / "memory" / "cgroup.procs").exists():
        return Hierarchy("v1", cgroup_mount / "memory", hybrid=unified is not None, local_events=False)
    raise NoMemoryHierarchyError(
        f"no cgroup hierarchy with the memory controller at {cgroup_mount}: neither cgroup.controllers (v2) nor memory/ (v1) is "
        "there. Mount the host's /sys/fs/cgroup there, or name another place with --cgroup-mount."
    )


def _controllers(mount: Path) -> list[str] | None:
    try:
        return (mount / "cgroup.controllers").read_text().split()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _local_events(mount: Path, mountinfo: str | None) -> bool:
    text = mountinfo if mountinfo is not None else os.fsdecode(MOUNTINFO.read_bytes())
    local = False
    for line in text.split("\n"):
        front, _, back = line.partition(" - ")
        fields, kind = front.split(" "), back.split(" ")
        if len(fields) > 5 and kind[:1] == ["cgroup2"]:
            # Blanks, tabs, line breaks and backslashes are octal (proc(5)). The last mount at a place is the visible one.
            place = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
            local = "memory_localevents" in kind[-1].split(",") if place == str(mount) else local
    return local


@lru_cache(maxsize=MOST_PLACES)
def classify(path: str) -> CgroupPlace:
    """What the cgroup at ``path`` (relative to the hierarchy's mount) is. Any text gives a place, none an error.

    A pause sandbox looks like a container here: only the API distinguishes them (its id is in no status).
    """
    parts = path.strip("/").split("/")
    path = "/".join(parts)
    for i, part in enumerate(parts):
        if (match := MISMATCH.match(part)) is not None:
            return _inside(path, parts, i, match[1], match[3], match[2])
        # Two in a row: the upper one only contains the real one (kubelet --cgroup-root=/kubepods).
        if ROOT.match(part) and not (i + 1 < len(parts) and ROOT.match(parts[i + 1])):
            return _below_root(path, parts, i)
    return CgroupPlace(path, CgroupKind.OTHER)


def _below_root(path: str, parts: list[str], root: int) -> CgroupPlace:
    at = root + 1
    if at == len(parts):
        return CgroupPlace(path, CgroupKind.KUBEPODS)
    if QOS.match(parts[at]):
        at += 1
        if at == len(parts):
            return CgroupPlace(path, CgroupKind.QOS)
    pod = POD_SYSTEMD.match(parts[at]) or POD_CGROUPFS.match(parts[at])
    if pod is None:
        return CgroupPlace(path, CgroupKind.OTHER)
    is_slice, key = parts[at].endswith(".slice"), pod[1].replace("_", "-")
    at += 1
    if at == len(parts):
        return CgroupPlace(path, CgroupKind.POD, key)
    # Below a pod's slice containers are scopes: CRI-O's bare ``crio-<id>`` there is its conmon's, not a container.
    match = SCOPE.match(parts[at]) or (None if is_slice else BARE.match(parts[at]))
    if match is None:
        return CgroupPlace(path, CgroupKind.OTHER, key)
    return _inside(path, parts, at, key, match[2], match[1])


def _inside(path: str, parts: list[str], at: int, key: str, container_id: str, prefix: str | None) -> CgroupPlace:
    kind = CgroupKind.CONTAINER if at == len(parts) - 1 else CgroupKind.NESTED
    return CgroupPlace(path, kind, key.replace("_", "-"), container_id, RUNTIMES.get(prefix or ""))


def is_in_pod(process_path: str) -> bool:
    """Whether a process with this path in /proc/PID/cgroup is in a pod's cgroup, or below one.

    From within another cgroup namespace, such as that of the agent's container, a path begins with ``/..`` for each level up and does not
    name those above (cgroup_namespaces(7)): a root of pods may be one of them. So containers of our own pod are not found there.
    """
    names = process_path.strip("/").split("/")
    shown = "/".join(name for name in names if name != "..")
    roots = ("", "kubepods/") if names[0] == ".." else ("",)
    return any(classify(f"{root}{shown}").pod_key is not None for root in roots)


def path_of(parent: str, name: str) -> str:
    """The path of a cgroup's child; the mount's own path is empty."""
    return f"{parent}/{name}" if parent else name


def place_of_kernel_path(kernel_path: str, known: Container[str], *, whole: bool = False) -> CgroupPlace | None:
    """The place in our view of a path from the kernel's log; ``known`` are our live paths. None: none of ours.

    Exactly one of ours, or in a pod that is ours: a cgroup that is nested, new or removed by now. Below a root alone is not
    enough: nodes of one host (kind) share the log and have roots of the same name. ``whole``: our view is that of the log, so no part
    in front is left out. Else the longest part counts: what a workload makes below its own cgroup has the names that it likes.
    """
    parts = kernel_path.strip("/").split("/")
    for start in range(1 if whole else len(parts)):
        place = classify("/".join(parts[start:]))
        in_pod = (at in known and classify(at).pod_key is not None for at in levels_above(place.path))
        if place.path in known or (place.pod_key is not None and any(in_pod)):
            return place
    return None


def may_hold_roots(path: str, max_depth: int = MAX_ROOT_DEPTH) -> bool:
    """Whether a new kubepods root could be made right below this directory (a root itself contains pods, not roots)."""
    return classify(path).kind is CgroupKind.OTHER and path.count("/") < max_depth - 1
