"""What manifests/components/recover-admission denies, in Python: the stand-in of an API server that checks the controller's account.

Takes each write of a client (verb, path, new and old object), gives the message of the policy that denies it, or None. The expressions
are CEL's; a change there belongs here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.pods.parse import parse_quantity
from tests.lab.apiserver import ApiServer

Json = dict[str, Any]
OURS = {"recover.oomward.dev/status", "recover.oomward.dev/step"}
KEPT = ("labels", "finalizers", "ownerReferences")


@dataclass(frozen=True)
class RecoverAdmission:
    """Add it to ``server.objects.admission``."""

    server: ApiServer

    def __call__(self, verb: str, path: str, new: Json, old: Json | None) -> str | None:
        parts = path.split("/")
        if "/api/v1/namespaces/" not in path or parts[5:6] != ["pods"]:
            return None
        if not self._opened(parts[4]):
            return "this namespace is not opened for recovery (label recover.oomward.dev/enabled=true)"
        if parts[4] in ("openshift", "oomward") or parts[4].startswith(("kube-", "openshift-")):
            return "system namespaces are never touched"
        if path.endswith("/eviction"):
            return None
        if old is None:
            return _creation(new)
        return _resize(new, old) if path.endswith("/resize") else _change(new, old)

    def _opened(self, name: str) -> bool:
        space = self.server.objects.stored.get(("/api/v1", "namespaces", "", name), {"metadata": {}})
        return (space["metadata"].get("labels") or {}).get("recover.oomward.dev/enabled") == "true"


def _change(new: Json, old: Json) -> str | None:
    notes, before = (one["metadata"].get("annotations") or {} for one in (new, old))
    if before.get("oomward.dev/recover", "") in ("", "false"):
        return "this pod does not ask for recovery (annotation oomward.dev/recover)"
    for one, other in _containers(new, old):
        listed = [word.strip() for word in before.get(f"recover.oomward.dev/images.{one['name']}", "").split(",")]
        if one.get("image") != other.get("image") and not (_asks(before, "image") and one.get("image") in listed):
            return "an image that the pod's annotation recover.oomward.dev/images.<container> does not list"
    deadline = new["spec"].get("activeDeadlineSeconds")
    if deadline != old["spec"].get("activeDeadlineSeconds") and not (deadline == 1 and _asks(before, "fail")):
        return "only a pod that asks for the action fail gets a deadline, of one second"
    same = all(new["metadata"].get(key) == old["metadata"].get(key) for key in KEPT)
    if not same or new["spec"].get("tolerations") != old["spec"].get("tolerations"):
        return "recovery changes neither tolerations nor labels, finalizers or owners"
    if {k: v for k, v in notes.items() if k not in OURS} != {k: v for k, v in before.items() if k not in OURS}:
        return "recovery writes no annotations but recover.oomward.dev/status and recover.oomward.dev/step"
    return None


def _resize(new: Json, old: Json) -> str | None:
    notes = old["metadata"].get("annotations") or {}
    if not _asks(notes, "grow"):
        return "this pod does not ask for growth (annotation oomward.dev/recover)"
    for one, other in _containers(new, old):
        limit, before = _of(one, "limits", "memory"), _of(other, "limits", "memory")
        request, asked = _of(one, "requests", "memory"), _of(other, "requests", "memory")
        _, slash, most = (
            notes.get(f"recover.oomward.dev/grow.{one['name']}") or notes.get("oomward.dev/grow", "")
        ).partition("/")
        bounded = (
            slash
            and before is not None
            and parse_quantity(before) < parse_quantity(limit) <= parse_quantity(most.strip())
        )
        same_cpu = all(_of(one, part, "cpu") == _of(other, part, "cpu") for part in ("limits", "requests"))
        if not (same_cpu and request in (asked, limit) and (limit == before or bounded)):
            return "memory may only be raised, and at most to the maximum of the pod's annotation oomward.dev/grow"
    return None


def _creation(new: Json) -> str | None:
    notes, spec = new["metadata"].get("annotations") or {}, new["spec"]
    first = notes.get("recover.oomward.dev/replaces")
    if not _asks(notes, "replace", "retry") or not first or not new["metadata"]["name"].startswith(f"{first}-r"):
        return "only pods that replace a pod that asked for recovery"
    containers = [*spec["containers"], *(spec.get("initContainers") or [])]
    privileged = any((one.get("securityContext") or {}).get("privileged") for one in containers)
    host = any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
    if privileged or host or any("hostPath" in one for one in spec.get("volumes") or []):
        return "recovery creates no privileged pods, and none that use the host"
    return None


def _asks(notes: Json, *actions: str) -> bool:
    asked = [word.strip() for word in notes.get("oomward.dev/recover", "").split(",")]
    return any(word in asked for word in ("true", *actions))


def _containers(new: Json, old: Json) -> list[tuple[Json, Json]]:
    return [
        (one, next(other for other in old["spec"].get(field) or [] if other["name"] == one["name"]))
        for field in ("containers", "initContainers")
        for one in new["spec"].get(field) or []
    ]


def _of(container: Json, part: str, what: str) -> Any:
    return ((container.get("resources") or {}).get(part) or {}).get(what)
