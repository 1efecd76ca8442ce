"""Fuzz target for cgroup paths: any bytes as a directory's name, as the kernel's log writes it, and as mountinfo.

Line by line: a path. What it is must not depend on who asks, and nothing below a container may belong to another.
"""

from __future__ import annotations

import os

from agent.cgroup.layout import NoMemoryHierarchyError, classify, find_hierarchy, place_of_kernel_path
from agent.kernel.oom_lines import comm_of, unescape
from agent.model import CgroupKind
from tests.fuzz.mount import LIKE_V2

UID, ID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "a" * 64
POD = f"kubepods/burstable/pod{UID}"
CONTAINER = f"{POD}/{ID}"
KNOWN = frozenset({"kubepods", POD, CONTAINER})
IN_A_CONTAINER = (CgroupKind.CONTAINER, CgroupKind.NESTED)


def check(data: bytes) -> None:
    """Hold each line to what must always be true of a place."""
    for line in data.split(b"\n"):
        _check_path(os.fsdecode(line))
        _check_escapes(os.fsdecode(line))
    try:
        find_hierarchy(LIKE_V2, os.fsdecode(data))
    except NoMemoryHierarchyError as error:
        raise AssertionError("the mount has a memory controller whatever mountinfo says") from error


def _check_path(path: str) -> None:
    place = classify(path)
    if classify(f"/{place.path}/") != place:
        raise AssertionError(f"slashes make another place of it: {place}")
    if (place.container_id is not None) != (place.kind in IN_A_CONTAINER):
        raise AssertionError(f"a container's id and kind don't go together: {place}")
    if place.kind in (*IN_A_CONTAINER, CgroupKind.POD) and not place.pod_key:
        raise AssertionError(f"in no pod: {place}")
    inside = classify(f"{CONTAINER}/{path}") if path.strip("/") else None
    if inside is not None and (inside.pod_key, inside.container_id) != (UID, ID):
        raise AssertionError(f"what a workload makes in its container is taken for another's: {inside}")
    found = place_of_kernel_path(path, KNOWN)
    if found is not None and (
        not path.strip("/").endswith(found.path) or (found.path not in KNOWN and found.pod_key is None)
    ):
        raise AssertionError(f"{path!r} is found at {found}")


def _check_escapes(text: str) -> None:
    (comm_of(text) or "").encode()
    os.fsencode(unescape(text))
