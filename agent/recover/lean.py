"""What is kept of the objects that are watched. Others write them, and those that ask for nothing may be as many: their size must not
be the controller's. Before a step the objects are read again, whole. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.model import Reason
from agent.pods.parse import KINDS
from agent.pods.parse_status import INDEX_FAILURES, PROBES
from agent.recover.asks import MOST_VALUE
from agent.recover.kill_events import PRESSURE
from agent.recover.subject import GITOPS_KEYS

Json = dict[str, Any]
OURS = "oomward.dev/"
OF_KUBELET = "kubernetes.io/config."  # of static pods
OF_SPEC = ("nodeName", "restartPolicy", "activeDeadlineSeconds", "priorityClassName")
OF_CONTAINER = ("name", "image", "restartPolicy", "restartPolicyRules")
OF_STATUS = ("phase", "reason", "message", "conditions", "startTime", "qosClass", "resize")
OF_REPORTED = ("name", "image", "containerID", "state", "lastState", "restartCount", "ready", "started")
OF_EVENT = ("reason", "series", "eventTime")
MOST_NOTE = 1024  # characters, as the API has it
READ = (PRESSURE, Reason.CONTAINER_OOM_KILLED, Reason.PROCESS_OOM_KILLED)


def lean(obj: Json) -> Json:
    """Of any object: without what is long and of no use here."""
    obj["metadata"].pop("managedFields", None)
    return obj


def lean_space(space: Json) -> Json:
    """A namespace."""
    metadata = space["metadata"]
    return {"metadata": {**_some(metadata, ("name", "uid", "labels")), "annotations": _notes(metadata)}}


def lean_pod(pod: Json) -> Json:
    """A pod, with all that leads to a diagnosis or a step."""
    kept: Json = {"metadata": {**lean(pod)["metadata"], "annotations": _notes(pod["metadata"])}}
    if isinstance(spec := pod.get("spec"), dict):
        lists = {field: [_container(one) for one in _maps(spec[field])] for field, _, _ in KINDS if field in spec}
        kept["spec"] = _some(spec, OF_SPEC) | _small(spec) | lists
    if isinstance(status := pod.get("status"), dict):
        lists = {field: [_reported(one) for one in _maps(status[field])] for _, field, _ in KINDS if field in status}
        kept["status"] = _some(status, OF_STATUS) | lists
    return kept


def lean_event(event: Json) -> Json:
    """An Event of an agent."""
    return {
        "metadata": _some(event["metadata"], ("namespace", "name", "uid", "resourceVersion")),
        "regarding": _some(event.get("regarding"), ("uid",)),
        "note": str(event.get("note"))[:MOST_NOTE],
        **_some(event, OF_EVENT),
    }


def read_here(event: Json) -> bool:
    """Whether an Event says something about memory: no others are kept."""
    return event.get("reason") in READ


def _notes(metadata: Json) -> Json:
    """Annotations. One that is too long stays too long, so that it is reported."""
    return {
        key: text[: MOST_VALUE + 1] if isinstance(text, str) else text
        for key, text in (metadata.get("annotations") or {}).items()
        if OURS in key or key in GITOPS_KEYS or key.startswith(OF_KUBELET) or key == INDEX_FAILURES
    }


def _container(item: Json) -> Json:
    """Of a probe only that there is one."""
    probes = (f"{probe}Probe" for probe in PROBES)
    return _some(item, OF_CONTAINER) | _small(item) | {probe: {} for probe in probes if item.get(probe) is not None}


def _reported(item: Json) -> Json:
    return _some(item, OF_REPORTED) | _small(item)


def _small(item: Json) -> Json:
    """Of the memory and the user of a pod or container only these."""
    kept: Json = {}
    if isinstance(resources := item.get("resources"), dict):
        kept["resources"] = {which: _some(resources.get(which), ("memory",)) for which in ("limits", "requests")}
    if user := _some(item.get("securityContext"), ("runAsUser",)):
        kept["securityContext"] = user
    return kept


def _some(item: object, keys: tuple[str, ...]) -> Json:
    return {key: item[key] for key in keys if key in item} if isinstance(item, dict) else {}


def _maps(value: object) -> Iterator[Json]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())
