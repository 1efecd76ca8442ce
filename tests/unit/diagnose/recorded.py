"""Recorded pod statuses (tests/fixtures/podstatus), each as a kubelet or a runtime words it, and the time at which it is looked at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.diagnose import diagnose
from agent.model import OomKill, Pod
from agent.model.diagnosis import ContainerFacts, Diagnosis, NodeFacts
from agent.pods.parse import parse_pod

FOLDER = Path(__file__).parents[2] / "fixtures" / "podstatus"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


@dataclass(frozen=True, slots=True)
class Recorded:
    pod: dict[str, Any]
    now_unix_s: float

    @property
    def parsed(self) -> Pod:
        return parse_pod(self.pod)

    def diagnoses(self, *kills: OomKill, **containers: ContainerFacts) -> tuple[Diagnosis, ...]:
        """With the kills and what the node knows, by container name."""
        return diagnose(self.parsed, kills, NodeFacts(self.now_unix_s, containers))


def recorded(name: str) -> Recorded:
    """The fixture of this name."""
    found = json.loads((FOLDER / f"{name}.json").read_text())
    return Recorded(found["pod"], at(found["now"]))


def at(time: str) -> float:
    """Seconds of an RFC 3339 time."""
    return datetime.fromisoformat(time).timestamp()
