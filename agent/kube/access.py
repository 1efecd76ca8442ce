"""What we may do at the API, by SelfSubjectAccessReview, and the API's version. For ``check``."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from agent.kube.api import Api, UnbelievableAnswerError

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
VERSION = "/version"
READ_S = 10.0  # both are answered from memory
MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Permission:
    """A verb on a resource in all namespaces; ``group`` "" is the core group."""

    verb: str
    resource: str
    group: str = ""

    @property
    def full_resource(self) -> str:
        """As ``kubectl auth can-i`` takes it: ``pods``, ``events.events.k8s.io``."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


NEEDED = (
    Permission("list", "pods"),
    Permission("watch", "pods"),
    Permission("create", "events", "events.k8s.io"),
    Permission("patch", "events", "events.k8s.io"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``why`` is the API's reason, "" when it gives none; not made safe."""

    allowed: bool
    why: str


def server_version(api: Api) -> str:
    """The API's gitVersion (system:public-info-viewer lets everybody read it). Raises ApiError."""
    answer = api.request("GET", VERSION, read_s=READ_S).json(MOST_BYTES)
    version = answer.get("gitVersion") if isinstance(answer, dict) else None
    if not isinstance(version, str) or not version:
        raise UnbelievableAnswerError(f"{api.server}{VERSION} shows no gitVersion: is that a Kubernetes API?")
    return version


def review(api: Api, permission: Permission) -> Verdict:
    """Whether we may, in all namespaces. Raises ApiError, also when asking is forbidden (system:basic-user lets everybody ask)."""
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asdict(permission)},
    }
    answer = api.request("POST", REVIEWS, body=body, read_s=READ_S).json(MOST_BYTES)
    status = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(status, dict) or not isinstance(status.get("allowed"), bool):
        raise UnbelievableAnswerError(
            f"{api.server} does not say whether {permission.verb} {permission.full_resource} is allowed"
        )
    reasons = (status.get(key) for key in ("reason", "evaluationError"))
    return Verdict(status["allowed"], "; ".join(text for text in reasons if isinstance(text, str) and text))
