"""How a pod's memory limit compares with its containers', for ``explain``."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence

from agent.look.explanation import CgroupFacts, ContainerExplanation
from agent.look.looking import SHORT_ID
from agent.look.view import UNKNOWN
from agent.model import ContainerKind, Pod
from agent.wording.text import bytes_text

Limit = tuple[str, int | None]  # a container's name and its limit
# Limits of these kinds are added up: init and ephemeral containers do not last.
SUMMED = (ContainerKind.REGULAR.value, ContainerKind.SIDECAR.value, None)


def limits_of(containers: Iterable[ContainerExplanation], pod: Pod | None) -> list[Limit] | None:
    """Limits of the containers that add to the pod's: of the cgroup, or of the spec if it does not run. None: not readable.

    Without the API a cgroup without a limit may be the sandbox and is left out.
    """
    limits = []
    for one in containers:
        if one.kind not in SUMMED:
            continue
        if one.cgroup is not None and "limit_bytes" in one.cgroup.unread:
            return None
        limit = one.spec_limit_bytes if one.cgroup is None else one.cgroup.limit_bytes
        if pod is not None or limit is not None:
            limits.append((one.container or (one.container_id or UNKNOWN)[:SHORT_ID], limit))
    return limits


def sum_of(limits: Sequence[Limit] | None) -> int | None:
    """None if a container has no limit, or none could be read."""
    sizes = [limit for _, limit in limits or () if limit is not None]
    return sum(sizes) if limits and len(sizes) == len(limits) else None


def limits_sentence(pod: CgroupFacts | None, limits: Sequence[Limit] | None) -> str:
    """How the pod's limit compares with its containers'."""
    if pod is None:
        return "the pod has no cgroup here, so it has no limit"
    if limits is None or "limit_bytes" in pod.unread:
        return "some limits could not be read"
    total, whole = sum_of(limits), pod.limit_bytes
    if total is None:
        return _without(whole, [name for name, limit in limits if limit is None])
    terms = " + ".join(bytes_text(limit) for _, limit in limits if limit is not None)
    added = f"the containers' limits add up to {terms}" + (f" = {bytes_text(total)}" if len(limits) > 1 else "")
    return f"{added}; {_compared(whole, total, len(limits))}"


def _compared(whole: int | None, total: int, number: int) -> str:
    if whole is None:
        return "the pod has no limit of its own"
    if abs(whole - total) <= mmap.PAGESIZE * number:  # the kernel rounds each down to a page
        same = "the pod's limit is the same"
        return f"{same}, and the kernel log names the pod's cgroup when it is hit" if number == 1 else same
    if whole < total:
        return f"the pod's limit is {bytes_text(total - whole)} less, so it is hit before all of them are used up"
    return f"the pod's limit is {bytes_text(whole - total)} more (init containers, or the RuntimeClass overhead)"


def _without(whole: int | None, unlimited: Sequence[str]) -> str:
    have = f"{', '.join(unlimited) or 'the containers'} {'has' if len(unlimited) == 1 else 'have'} no limit"
    if whole is None:
        return f"{have}, and the pod has none: only the node's memory limits them"
    return f"{have}: all containers of the pod together hit the pod's limit first"
