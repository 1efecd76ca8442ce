"""How pods fare, asked of the API by request: one pod, or all of a node. For the commands; the watch brings its own."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from agent.kube.api import Api, ApiRefusedError
from agent.model.status import PodStatus
from agent.pods.list import list_objects
from agent.pods.parse import UnreadablePodError
from agent.pods.parse_status import parse_status

NOT_FOUND = 404
MOST_POD_BYTES = 8 << 20


def read_status(api: Api, namespace: str, name: str) -> PodStatus | None:
    """One pod's; None when the API has no such pod (any more). Raises ApiError, UnreadablePodError."""
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(name, safe='')}"
    try:
        answer = api.request("GET", path)
    except ApiRefusedError as error:
        if error.status == NOT_FOUND:
            return None
        raise
    return parse_status(answer.json(MOST_POD_BYTES))


def list_statuses(api: Api, node_name: str, on_skipped: Callable[[str], None]) -> tuple[PodStatus, ...]:
    """Of all pods of this node; what can't be read of them is told in a sentence. Raises ApiError."""

    def read(item: object) -> PodStatus | str:
        try:
            return parse_status(item)
        except UnreadablePodError as error:
            return f"a pod's status could not be read: {error}"

    found, _ = list_objects(api, node_name, read)
    for skipped in found:
        if isinstance(skipped, str):
            on_skipped(skipped)
    return tuple(status for status in found if isinstance(status, PodStatus))
