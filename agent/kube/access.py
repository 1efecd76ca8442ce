"""What we may do at the API, as it says itself: SelfSubjectAccessReview, and its version to see that it answers.

Takes an Api and a permission, gives what the API says of it. Does none of what it asks about. For ``check``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.kube.api import Api, ApiError

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
VERSION = "/version"
READ_S = 10.0  # both are answered from memory
MOST_BYTES = 1 << 20


class UnbelievableAnswerError(ApiError):
    """The API's answer lacks what it must have: something else answered."""


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
    """The API's gitVersion (GET /version, open to all by the role system:public-info-viewer). Raises ApiError."""
    answer = api.request("GET", VERSION, read_s=READ_S).json(MOST_BYTES)
    version = answer.get("gitVersion") if isinstance(answer, dict) else None
    if not isinstance(version, str) or not version:
        raise UnbelievableAnswerError(f"{api.server}{VERSION} tells no gitVersion: is that a Kubernetes API?")
    return version


def review(api: Api, permission: Permission) -> Verdict:
    """Whether we may. Raises ApiError, also when asking is forbidden (the role system:basic-user lets everybody ask).

    authorization.k8s.io/v1, SelfSubjectAccessReview: no namespace in resourceAttributes means all; status has ``allowed``
    always, ``reason`` and ``evaluationError`` at times.
    """
    asked = {"verb": permission.verb, "group": permission.group, "resource": permission.resource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    answer = api.request("POST", REVIEWS, body=body, read_s=READ_S).json(MOST_BYTES)
    status = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(status, dict) or not isinstance(status.get("allowed"), bool):
        raise UnbelievableAnswerError(
            f"{api.server} does not say whether {permission.verb} {permission.full_resource} is allowed"
        )
    return Verdict(status["allowed"], _why(status))


def _why(status: dict[str, Any]) -> str:
    said = (status.get(key) for key in ("reason", "evaluationError"))
    return "; ".join(text for text in said if isinstance(text, str) and text)
