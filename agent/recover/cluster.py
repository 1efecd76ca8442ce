"""The requests of the controller, as few as its actions need. Raises ApiError; nothing here decides anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from agent.kube.api import Api, ApiRefusedError, ApiUnreachableError, UnbelievableAnswerError
from agent.model.recover import Space
from agent.recover.actions.request import CreatePod, Evict, PatchPod, PatchResource, Request
from agent.recover.subject import Json, space_of

JSON_PATCH = "application/json-patch+json"
ANSWER_S = 10.0  # less than a lease lasts
MOST_BYTES = 16 << 20  # etcd takes 1.5 MiB, in which the API server's JSON makes up to six characters of one


class Cluster:
    """``may_write`` is asked right before each write: whether this replica leads; False raises NotLeadingError."""

    def __init__(self, api: Api, may_write: Callable[[], bool]) -> None:
        self._api = api
        self._may_write = may_write

    def get(self, path: str) -> Json | None:
        """An object; None: there is none. Raises UnbelievableAnswerError for one that can't be read, which says nothing about others."""
        try:
            got = self._api.request("GET", path, read_s=ANSWER_S)
        except ApiRefusedError as error:
            if error.status == 404:
                return None
            raise
        try:
            answer = got.json(MOST_BYTES)
        except ApiUnreachableError as error:
            raise UnbelievableAnswerError(f"{path}: {error}") from error
        if not isinstance(answer, dict) or not isinstance(answer.get("metadata"), dict):
            raise UnbelievableAnswerError(f"{self._api.server}{path} is no object")
        return answer

    def pod(self, namespace: str, name: str, uid: str | None = None) -> Json | None:
        """A pod, with a spec; None: there is none of this name, or it has another uid."""
        found = self.get(pod_path(namespace, name))
        if found is not None and not isinstance(found.get("spec"), dict):
            raise UnbelievableAnswerError(f"{self._api.server}{pod_path(namespace, name)} is no pod: it has no spec")
        return found if found is None or uid in (None, found["metadata"].get("uid")) else None

    def node(self, name: str) -> Json | None:
        """A node; None: there is none, or only components/recover-grow's right to read it is missing."""
        try:
            return self.get(f"/api/v1/nodes/{quote(name, safe='')}")
        except ApiRefusedError as error:
            if error.status != 403:
                raise
            return None

    def space(self, name: str) -> Space | None:
        """A namespace; None: there is none."""
        found = self.get(f"/api/v1/namespaces/{quote(name, safe='')}")
        return None if found is None else space_of(found)

    def send(self, request: Request) -> None:
        """One step's request."""
        match request:
            case PatchPod(namespace, name, patch, subresource):
                self._write(
                    "PATCH",
                    pod_path(namespace, name) + (f"/{subresource}" if subresource else ""),
                    list(patch),
                    JSON_PATCH,
                )
            case PatchResource(path, patch):
                self._write("PATCH", path, list(patch), JSON_PATCH)
            case CreatePod(namespace, body):
                self._write("POST", f"/api/v1/namespaces/{quote(namespace, safe='')}/pods", body)
            case Evict(namespace, name, uid):
                self._write("POST", f"{pod_path(namespace, name)}/eviction", _eviction(namespace, name, uid))

    def post_event(self, namespace: str, body: Json) -> None:
        """One that is there already is as good."""
        try:
            self._write("POST", f"/apis/events.k8s.io/v1/namespaces/{quote(namespace, safe='')}/events", body)
        except ApiRefusedError as error:
            if error.status != 409:
                raise

    def _write(self, method: str, path: str, body: Any, content_type: str = "application/json") -> None:
        if not self._may_write():
            raise NotLeadingError("another replica leads now")
        self._api.request(method, path, body=body, read_s=ANSWER_S, content_type=content_type).finish()


class NotLeadingError(Exception):
    """The lease was lost: nothing may be written."""


def pod_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(name, safe='')}"


def _eviction(namespace: str, name: str, uid: str) -> Json:
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": uid}},
    }
