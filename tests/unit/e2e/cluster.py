"""A cluster as kubectl shows it, made by hand: what was applied, and JSON as the API has it. Behaves well unless told otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.kubectl import Kubectl, RefusedError
from tests.e2e.objects import HERDERS, NAMESPACE

AGENT_PAGE = """# HELP oomward_oom_kills_total x
oomward_oom_kills_total{{namespace="{namespace}",pod="herder-single-1",container="herder",mode="single",scope="container"}} {kills}
oomward_oom_kills_total{{namespace="{namespace}",pod="herder-plain-1",container="herder",mode="single",scope="container"}} 2.0
oomward_unattributed_oom_kills_total {unattributed}
oomward_oom_group_writes_total{{outcome="denied"}} 0.0
"""


@dataclass
class Cluster(Kubectl):
    """``minor`` of Kubernetes 1.x. The rest is what may go wrong."""

    minor: str = "37"
    ours: bool = False  # whether oomward is installed
    single_restarts: int = 0
    kills: float = 4.0
    unattributed: float = 0.0
    events_of_single: tuple[str, ...] = ("OOMModeApplied", "ProcessOOMKilled")
    stays: bool = False  # whether something is left after the uninstallation
    silent_node: bool = False  # whether one agent does not answer kubectl oomward
    herding: bool = False
    commands: list[str] = field(default_factory=list)
    overlays: list[dict[str, Any]] = field(default_factory=list)
    applied: list[dict[str, Any]] = field(default_factory=list)

    def run(self, *arguments: str, stdin: str | None = None, timeout_s: float = 180.0) -> str:
        """Answers as kubectl would."""
        line = " ".join(arguments)
        self.commands.append(line)
        if "--kustomize" in arguments:
            folder = Path(arguments[arguments.index("--kustomize") + 1])
            self.overlays.append(yaml.safe_load((folder / "kustomization.yaml").read_text()))
            self.ours = arguments[0] == "apply" or self.stays
        elif arguments[0] == "apply":
            self.applied += json.loads(stdin or "")["items"]
            self.herding = True
        elif "patch" in arguments:
            self.single_restarts += 1
        if {"apply", "delete", "patch", "exec"} & set(arguments):
            return ""
        if "--raw" in arguments:
            return AGENT_PAGE.format(namespace=NAMESPACE, kills=self.kills, unattributed=self.unattributed)
        if "--ignore-not-found" in arguments:
            return "namespace/oomward\n" if self.ours else ""
        return json.dumps(self._asked(line))

    def oomward(self, *arguments: str) -> dict[str, Any]:
        """As `kubectl oomward` would."""
        self.commands.append(f"oomward {' '.join(arguments)}")
        if self.silent_node:
            raise RefusedError("1 of 2 nodes did not answer: kind-worker (timed out after 10 s)")
        return {"containers": [{"pod": "herder-single-1"}], "kills": [{}] * int(self.kills), "checks": []}

    def _asked(self, line: str) -> dict[str, Any]:
        if line.startswith("version"):
            return {"serverVersion": {"major": "1", "minor": self.minor}}
        if "get daemonset" in line:
            status = {
                "observedGeneration": 2,
                "desiredNumberScheduled": 1,
                "updatedNumberScheduled": 1,
                "numberReady": 1,
            }
            return {"metadata": {"generation": 2}, "status": status}
        if "--namespace oomward get pods" in line:
            return {"items": [{"metadata": {"name": "oomward-x"}}]}
        if "get pods" in line:
            return {"items": [self._pod(app) for app in HERDERS] if self.herding else []}
        if "get events" in line:
            return {"items": self._events()}
        raise RefusedError(f"not known here: kubectl {line}")

    def _pod(self, app: str) -> dict[str, Any]:
        grouped = app == "herder-group" or (app == "herder-plain" and int(self.minor.rstrip("+")) >= 28)
        restarts = self.single_restarts if app == "herder-single" else int(grouped)
        return {
            "metadata": {
                "name": f"{app}-1",
                "uid": f"uid-{app}",
                "labels": {"app": app},
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "status": {"containerStatuses": [{"restartCount": restarts, "state": {"running": {}}}]},
        }

    def _events(self) -> list[dict[str, Any]]:
        told = [("herder-single", reason) for reason in self.events_of_single]
        told += [(app, "ContainerOOMKilled") for app in ("herder-group", "herder-plain")]
        return [
            {"reason": reason, "reportingController": "oomward.dev/agent", "regarding": {"uid": f"uid-{app}"}}
            for app, reason in told
        ]
