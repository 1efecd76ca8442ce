"""Statuses from public reports (tests/fixtures/podreports), names replaced, with the right answer.

``*.json`` has one pod each. ``*.yaml`` have many in short: ``status`` is the pod's, ``owner`` the kind of its controller ("" for none),
``containers`` and ``init`` have a state (``waiting``, ``ended``, ``running``) and the instance before (``last``). ``made``: no status was
published: it has the words of the source, which is code, a log or a command's output.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from agent.diagnose import diagnose
from agent.model import OomKill, Outcome, Scope, Victim
from agent.model.diagnosis import Diagnosis, NodeFacts
from agent.pods.parse import parse_pod
from tests.unit.diagnose.recorded import at

FOLDER = Path(__file__).parents[2] / "fixtures" / "podreports"
NOW = "2026-03-01T12:00:00Z"
STARTED, ENDED = "2026-03-01T11:10:00Z", "2026-03-01T11:59:40Z"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    name: str
    source: str
    system: str
    now: str
    expect: list[Json]
    pod: Json
    kills: list[Json]
    made: bool = False

    def diagnoses(self) -> tuple[Diagnosis, ...]:
        return diagnose(parse_pod(self.pod), self.seen(), NodeFacts(at(self.now)))

    def seen(self) -> list[OomKill]:
        """The kills that the node saw."""
        return [_kill(one, self.pod) for one in self.kills]


@cache
def reports() -> tuple[Report, ...]:
    """All, by name."""
    found = [_of_json(path) for path in FOLDER.glob("*.json")]
    for path in FOLDER.glob("*.yaml"):
        found += [_of_yaml(one) for one in yaml.safe_load(path.read_text(encoding="utf-8"))]
    return tuple(sorted(found, key=lambda one: one.name))


def _of_json(path: Path) -> Report:
    found = json.loads(path.read_text(encoding="utf-8"))
    expect = found["expect"]["of"]
    return Report(
        path.stem, found["source"], found["system"], found["now"], expect, found["pod"], found.get("kills", [])
    )


def _of_yaml(one: Json) -> Report:
    status = {"phase": "Pending", "startTime": "2026-03-01T11:00:00Z", **one.get("status", {})}
    spec: Json = {"restartPolicy": one.get("policy", "Always"), "nodeName": "node-1", **one.get("spec", {})}
    for short, full in (("init", "initContainers"), ("containers", "containers")):
        items = one.get(short, [{"name": "web"}] if short == "containers" else [])
        spec[full] = [_spec(item) for item in items]
        states = [_status(item) for item in items if item.keys() & {"waiting", "ended", "running", "last"}]
        status[full.removesuffix("s") + "Statuses"] = states
    owner = one.get("owner", "ReplicaSet")
    owners = [{"kind": owner, "name": "web", "controller": True}] if owner else []
    metadata = {"name": "web-1", "namespace": "shop", "uid": "0f4be21c-5c1a-4c7e-9a51-6a1f3b8e0001",
                "creationTimestamp": "2026-03-01T10:59:00Z", "ownerReferences": owners}  # fmt: skip
    expect = one["expect"] if isinstance(one["expect"], list) else [one["expect"]]
    pod = {"metadata": metadata, "spec": spec, "status": status}
    return Report(
        one["name"],
        one["source"],
        one.get("system", ""),
        NOW,
        expect,
        pod,
        one.get("kills", []),
        one.get("made", False),
    )


def _spec(item: Json) -> Json:
    found: Json = {
        "name": item["name"],
        "image": item.get("image", "registry.example/shop/web:1.4"),
        **item.get("spec", {}),
    }
    if "limit" in item:
        found["resources"] = {"limits": {"memory": item["limit"]}}
    return found | {f"{probe}Probe": {"exec": {"command": ["true"]}} for probe in item.get("probes", [])}


def _status(item: Json) -> Json:
    running = "running" in item
    found: Json = {"name": item["name"], "ready": item.get("ready", running), "restartCount": item.get("restarts", 0)}
    if "waiting" in item:
        found["state"] = {"waiting": item["waiting"]}
    elif "ended" in item:
        found["state"] = {"terminated": _ended(item["ended"])}
    elif running:
        found["state"] = {"running": {"startedAt": STARTED, **(item["running"] or {})}}
    if "last" in item:
        found["lastState"] = {"terminated": _ended(item["last"])}
    if "in_force" in item:
        found["resources"] = {"limits": {"memory": item["in_force"]}}
    return found


def _ended(item: Json) -> Json:
    return {"startedAt": STARTED, "finishedAt": ENDED, "containerID": f"containerd://{'a' * 64}", **item}


def _kill(one: Json, pod: Json) -> OomKill:
    metadata = pod["metadata"]
    victims = tuple(Victim(victim["pid"], victim["comm"]) for victim in one.get("victims", []))
    return OomKill(
        "boot", 7, 1, at(one["at"]), "node-1", "kubepods/x", 1, metadata["namespace"], metadata["name"], metadata["uid"],
        one.get("container"), one.get("container_id"), victims, scope=Scope(one["scope"]) if "scope" in one else None,
        sandbox=one.get("sandbox", False),
        limit_bytes=one.get("limit"), usage_bytes=one.get("usage"), outcome=Outcome(one["outcome"]) if "outcome" in one else None,
    )  # fmt: skip
