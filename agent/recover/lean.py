"""What is kept of the objects that are watched. Others write them, and those that ask for nothing may be as many: their size must not
be the controller's. Before a step the objects are read again, whole. Pure.
"""

from __future__ import annotations

from typing import Any

from agent.model import Reason
from agent.recover.asks import MOST_VALUE
from agent.recover.kill_events import PRESSURE
from agent.recover.subject import GITOPS_KEYS

Json = dict[str, Any]
OURS = "oomward.dev/"
OF_KUBELET = "kubernetes.io/config."  # of static pods
NOT_READ = ("env", "envFrom", "command", "args", "volumeMounts", "lifecycle", "securityContext")
OF_EVENT = ("metadata", "regarding", "reason", "note", "series", "eventTime")
MOST_NOTE = 1024  # characters, as the API has it
READ = (PRESSURE, Reason.CONTAINER_OOM_KILLED, Reason.PROCESS_OOM_KILLED)


def lean(obj: Json) -> Json:
    """Of any object: without what is long and of no use here."""
    obj["metadata"].pop("managedFields", None)
    return obj


def lean_pod(pod: Json) -> Json:
    """A pod. An annotation that is too long stays too long, so that it is reported."""
    notes = lean(pod)["metadata"].get("annotations") or {}
    pod["metadata"]["annotations"] = {
        key: text[: MOST_VALUE + 1] if isinstance(text, str) else text
        for key, text in notes.items()
        if OURS in key or key in GITOPS_KEYS or key.startswith(OF_KUBELET)
    }
    for field in ("containers", "initContainers"):
        for one in (pod.get("spec") or {}).get(field) or []:
            for key in NOT_READ:
                one.pop(key, None)
    return pod


def lean_event(event: Json) -> Json:
    """An Event of an agent."""
    metadata = {key: event["metadata"].get(key) for key in ("namespace", "name", "uid", "resourceVersion")}
    kept = {key: event[key] for key in OF_EVENT if key in event} | {"metadata": metadata}
    return {**kept, "note": str(kept.get("note"))[:MOST_NOTE]}


def read_here(event: Json) -> bool:
    """Whether an Event says something about memory: no others are kept."""
    return event.get("reason") in READ
