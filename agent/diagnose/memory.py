"""The memory words of a case: which limit was hit, which is in force, how often, and a concrete next limit.

All numbers are of one instance: a peak or a usage is given only for the instance that the sentence is about.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.diagnose.case import RESIZES, Case
from agent.model import ContainerKind, OomKill, Pod, Scope, Victim
from agent.wording.filled import filled_advice, volumes_of
from agent.wording.scopes import SHORTAGE, SHORTAGE_ADVICE
from agent.wording.text import bytes_text, safe

MIB, GIB = 1 << 20, 1 << 30
LEAST_RAISE = 32 * MIB
STEPS = ((GIB, 16 * MIB), (8 * GIB, 64 * MIB))  # below this limit, rounded up to a multiple of that
LARGE_STEP = 256 * MIB
TOLERANCE = 0.99  # the kernel rounds limits down to whole pages
ITS_LIMIT: Mapping[Scope | None, str] = {Scope.CONTAINER: "its memory limit", Scope.POD: "its pod's memory limit"}
NEW_S = 600.0  # of a kill: no resize came after it
COUNTED = (ContainerKind.REGULAR, ContainerKind.SIDECAR)


def next_limit(limit_bytes: int) -> int:
    """A quarter more, at least 32 MiB, rounded up: how much a container needs is not known while its limit stops it."""
    wanted = limit_bytes + max(limit_bytes // 4, LEAST_RAISE)
    step = next((size for below, size in STEPS if wanted <= below), LARGE_STEP)
    return -(-wanted // step) * step


def memory_words(case: Case) -> dict[str, str | None]:
    """Words that are not known are None or missing. ``base`` is never there with ``behind``, ``pending``, ``raised`` or ``lowered``."""
    of_sandbox = case.kills if case.container is None else ()
    kill = next(iter(case.lost or case.fatal or case.killed or of_sandbox), None)
    found = {"limit": quantity(case.limit_bytes), "kills": _kills(case)}
    if kill is not None and kill.victims:
        found["victim"] = _victim(kill.victims[0])
    if kill is not None:
        found["its_limit"] = ITS_LIMIT.get(kill.scope)
        found["shortage"], found["shortage_advice"] = SHORTAGE.get(kill.scope), SHORTAGE_ADVICE.get(kill.scope)
        found["filled"] = filled_advice(kill, volumes_of(case.pod, kill))
    if kill is not None and kill.scope is Scope.POD:
        return found | _of_pod_limit(case, kill)
    return found | _of_own_limit(case, kill)


def _of_pod_limit(case: Case, kill: OomKill) -> dict[str, str | None]:
    """A new kill below the limit that the pod should have: its cgroup was left behind. An older one can be from before a resize."""
    limit_bytes = kill.limit_bytes
    full = full_limit(case.pod)
    if limit_bytes is not None and full is not None and limit_bytes < full * TOLERANCE:
        if case.now_unix_s - kill.at_unix_s < NEW_S:
            return {"behind": quantity(limit_bytes)}
        return {"pod_limit": quantity(limit_bytes), "own_limit": quantity(limit_bytes), "raised": quantity(full)}
    return {"pod_limit": quantity(limit_bytes), "pod_next": manifest(limit_bytes)}


def full_limit(pod: Pod) -> int | None:
    """What the kubelet would give the pod's cgroup now: the pod's own limit, or the sum of its containers', or at least the largest."""
    limits = [one.status.limit_bytes or one.limit_bytes for one in pod.containers if one.kind in COUNTED]
    known = [limit for limit in limits if limit is not None]
    return pod.status.limit_bytes or (sum(known) if known and len(known) == len(limits) else max(known, default=None))


def _of_own_limit(case: Case, kill: OomKill | None) -> dict[str, str | None]:
    at_kill = kill.limit_bytes if kill is not None and kill.scope is Scope.CONTAINER else None
    now = case.limit_bytes
    found = {"own_limit": quantity(at_kill)}
    wanted = case.container.limit_bytes if case.container is not None else None
    if now is not None and wanted is not None and wanted * TOLERANCE > now:
        return found | {"wanted": quantity(wanted), "pending": _pending(case)}
    if now is not None and at_kill is not None and at_kill < now * TOLERANCE:
        return found | {"raised": quantity(now)}
    if now is not None and at_kill is not None and now < at_kill * TOLERANCE:
        return found | {"lowered": quantity(now), "next": manifest(at_kill)}
    base = at_kill or now
    peak = case.facts.peak_bytes if case.lost else None
    return found | {"base": quantity(base), "next": manifest(base), "peak": quantity(peak)}


def _pending(case: Case) -> str:
    found = (case.pod.status.condition(kind) for kind in RESIZES)
    reasons = [one.reason.lower() for one in found if one is not None and one.status == "True" and one.reason]
    return f"the resize is {safe(reasons[0])}" if reasons else "the resize is not done"


def _victim(victim: Victim) -> str:
    """Its name, with the memory that it had: ``python3, 180Mi``."""
    size = quantity(victim.resident_bytes)
    return safe(victim.comm) + (f", {size}" if size is not None else "")


def _kills(case: Case) -> str | None:
    number = len(case.recent)
    return f"{number} kill{'' if number == 1 else 's'}" if number else None


def manifest(limit_bytes: int | None) -> str | None:
    """The next limit as in a manifest."""
    return None if limit_bytes is None else in_manifest(next_limit(limit_bytes))


def in_manifest(size: int) -> str:
    """A next limit as in a manifest: ``320Mi``, ``6Gi``."""
    return f"{size // GIB}Gi" if size % GIB == 0 else f"{size // MIB}Mi"


def quantity(size: int | None) -> str | None:
    """As in a manifest: ``256Mi``, ``180.2Mi``."""
    return None if size is None else bytes_text(size).replace(" ", "").removesuffix("B")
