"""Where things are: which hierarchy carries memory, where its kubepods roots lie, and what a path in it is.

Pure but for reading mountinfo: paths in, places out. Knows the names that kubelet, containerd, CRI-O, cri-dockerd, runc and crun
give, and computes no path from QoS and uid to look there: it reads what is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator
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
MOST_PLACES = 4096  # remembered, since each is asked for again and again; some 300 bytes each
MAX_ROOT_DEPTH = (
    6  # k3s without root lies that deep: user.slice/user-N.slice/user@N.service/app.slice/k3s-rootless.service/kubepods
)
LOCAL_EVENTS = (
    "mounted with memory_localevents, which is not supported: kills in cgroups below a container's own are missed"
)
LOCAL_EVENTS_MEND = (
    "Remove that option from the mount of cgroup2 and restart the node; up to Linux 6.1 a remount without it is enough."
)
OCTAL = re.compile(r"\\([0-7]{3})")


class NoMemoryHierarchyError(AgentError):
    """There is no cgroup hierarchy with the memory controller below the given mount."""


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

    Raises NoMemoryHierarchyError, which says what was found instead and what to do.
    """
    controllers = _read(cgroup_mount / "cgroup.controllers")
    if controllers is not None:
        if "memory" not in controllers.split():
            raise NoMemoryHierarchyError(
                f"{cgroup_mount} is a cgroup v2 mount without the memory controller (it has: {controllers.strip() or 'none'}). "
                "Boot without cgroup_disable=memory, or mount the host's cgroup root into the agent's container."
            )
        return Hierarchy("v2", cgroup_mount, hybrid=False, local_events=_local_events(cgroup_mount, mountinfo))
    unified = _read(cgroup_mount / "unified" / "cgroup.controllers")
    if unified is not None and "memory" in unified.split():
        mount = cgroup_mount / "unified"
        return Hierarchy("v2", mount, hybrid=True, local_events=_local_events(mount, mountinfo))
    if (cgroup_mount / "memory").is_dir() and (cgroup_mount / "memory" / "cgroup.procs").exists():
        return Hierarchy("v1", cgroup_mount / "memory", hybrid=unified is not None, local_events=False)
    raise NoMemoryHierarchyError(
        f"no cgroup hierarchy with the memory controller at {cgroup_mount}: neither cgroup.controllers (v2) nor memory/ (v1) is "
        "there. Mount the host's /sys/fs/cgroup there, or name another place with --cgroup-mount."
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _local_events(mount: Path, mountinfo: str | None) -> bool:
    text = mountinfo if mountinfo is not None else Path("/proc/self/mountinfo").read_text()
    local = False
    for line in text.splitlines():
        front, _, back = line.partition(" - ")
        fields, kind = front.split(), back.split()
        if len(fields) > 5 and kind[:1] == ["cgroup2"] and _unescaped(fields[4]) == str(mount):
            local = "memory_localevents" in kind[-1].split(",")  # the last mount at a place is the one that is seen
    return local


def _unescaped(field: str) -> str:
    """mountinfo writes blanks, tabs, line breaks and backslashes as octal (proc(5))."""
    return OCTAL.sub(lambda match: chr(int(match[1], 8)), field)


# ----------------------------------------------------------------------------------------------------- path to place


@lru_cache(maxsize=MOST_PLACES)
def classify(path: str) -> CgroupPlace:
    """What the cgroup at ``path`` (relative to the hierarchy's mount) is. Any text gives a place, none an error.

    A pause sandbox looks like a container here: only the API tells them apart (its id is in no status).
    """
    parts = path.strip("/").split("/")
    path = "/".join(parts)
    for i, part in enumerate(parts):
        if (match := MISMATCH.match(part)) is not None:
            return _inside(path, parts, i, match[1], match[3], match[2])
        if ROOT.match(part) and not _is_cgroup_root(parts, i):
            return _below_root(path, parts, i)
    return CgroupPlace(path, CgroupKind.OTHER)


def _is_cgroup_root(parts: list[str], at: int) -> bool:
    """Whether what is called like a kubepods root only holds the real one (kubelet --cgroup-root=/kubepods)."""
    return at + 1 < len(parts) and ROOT.match(parts[at + 1]) is not None


def _below_root(path: str, parts: list[str], root: int) -> CgroupPlace:
    at = root + 1
    if at == len(parts):
        return CgroupPlace(path, CgroupKind.KUBEPODS)
    if QOS.match(parts[at]):
        at += 1
        if at == len(parts):
            return CgroupPlace(path, CgroupKind.QOS)
    key = _pod_key(parts[at])
    if key is None:
        return CgroupPlace(path, CgroupKind.OTHER)
    systemd = parts[at].endswith(".slice")
    at += 1
    if at == len(parts):
        return CgroupPlace(path, CgroupKind.POD, key)
    match = _container(parts[at], systemd=systemd)
    if match is None:
        return CgroupPlace(path, CgroupKind.OTHER, key)
    return _inside(path, parts, at, key, match[2], match[1])


def _container(name: str, *, systemd: bool) -> re.Match[str] | None:
    """Below a pod's slice containers are scopes: CRI-O's bare ``crio-<id>`` there is its conmon's, not a container."""
    scope = SCOPE.match(name)
    if scope is not None or systemd:
        return scope
    return BARE.match(name)


def _inside(path: str, parts: list[str], at: int, key: str, container_id: str, prefix: str | None) -> CgroupPlace:
    kind = CgroupKind.CONTAINER if at == len(parts) - 1 else CgroupKind.NESTED
    runtime = RUNTIMES.get(prefix) if prefix is not None else None
    return CgroupPlace(path, kind, _dashed(key), container_id, runtime)


def _pod_key(name: str) -> str | None:
    match = POD_SYSTEMD.match(name) or POD_CGROUPFS.match(name)
    return _dashed(match[1]) if match is not None else None


def _dashed(key: str) -> str:
    return key.replace("_", "-")


# ------------------------------------------------------------------------------------------------- paths of the log


def place_of_kernel_path(kernel_path: str, known: Container[str]) -> CgroupPlace | None:
    """The place in our view of a path from the kernel's log; ``known`` are our live paths. None: none of ours.

    Exactly one of ours, or in a pod that is ours: a cgroup that nobody told us of, nested or gone by now. Below a root
    alone won't do: nodes of one host (kind) share the log and have roots of the same name.
    """
    parts = kernel_path.strip("/").split("/")
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    for tail in tails:
        if tail in known:
            return classify(tail)
    for tail in tails:
        place = classify(tail)
        if place.pod_key is not None and any(at in known and classify(at).pod_key for at in levels_above(tail)):
            return place
    return None


# ------------------------------------------------------------------------------------------------------------- roots


def find_roots(children: Callable[[str], Iterable[str]], max_depth: int = MAX_ROOT_DEPTH) -> tuple[str, ...]:
    """Paths of all kubepods roots, and of containers that a driver mismatch put outside of any.

    ``children`` gives the names of a cgroup's child directories (empty when it is gone); "" is the mount. A root
    directly below it has depth 1.
    """
    return tuple(_walk("", children, max_depth))


def _walk(path: str, children: Callable[[str], Iterable[str]], depth: int) -> Iterator[str]:
    for name in children(path):
        at = f"{path}/{name}" if path else name
        if ROOT.match(name) or MISMATCH.match(name):
            yield at
        elif depth > 1:
            yield from _walk(at, children, depth - 1)


def may_hold_roots(path: str, max_depth: int = MAX_ROOT_DEPTH) -> bool:
    """Whether a new kubepods root could be made right below this directory (a root itself holds pods, not roots)."""
    return classify(path).kind is CgroupKind.OTHER and path.count("/") < max_depth - 1
