"""A failing pod for each action, with what its step changes in the cluster, as a reactor of the API's stand-in sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.model.recover import OPTIONAL_INIT_ANNOTATION
from tests.unit.recover.lab import Lab
from tests.unit.recover.pods import crash_loop, init_fails, killed, no_image, pod, waiting
from tests.unit.recover.test_planner import JOB, NOT_THERE, WITH_BUILDS, resource

Json = dict[str, Any]
CR = ("/apis/ml.example/v1", "notebookjobs", "shop", "nb")


@dataclass
class Effects:
    """What changed: images, limits, deadlines, strategies, evictions, creations."""

    seen: list[str] = field(default_factory=list)

    def __call__(self, before: Json | None, after: Json) -> None:
        if after.get("kind") in ("Event", "ConfigMap", "Lease"):
            return
        if before is None:
            self.seen.append("create")
        elif "deletionTimestamp" in after["metadata"]:
            self.seen.append("evict")
        elif before["spec"] != after["spec"]:
            self.seen.append("change")


@dataclass(frozen=True)
class Scenario:
    pod: Callable[[], Json]
    effects: tuple[str, ...]

    def begin(self, lab: Lab) -> Effects:
        """The pod and the resource are there; what changes from now on."""
        lab.config = WITH_BUILDS
        lab.server.objects.kinds.add(CR[:2])
        lab.server.objects.stored[CR] = resource("s2i")
        lab.put(self.pod())
        found = Effects()
        lab.server.objects.reactors.append(found)
        return found


SCENARIOS = {
    "image": Scenario(no_image, ("change",)),
    "grow": Scenario(killed, ("change",)),
    "fail": Scenario(lambda: pod(state=waiting("ErrImagePull", NOT_THERE), **JOB), ("change",)),
    "retry": Scenario(crash_loop, ("evict",)),
    "replace": Scenario(
        lambda: init_fails(owner=None, notes={OPTIONAL_INIT_ANNOTATION: "git-clone"}), ("create", "evict")
    ),
    "strategy": Scenario(lambda: crash_loop(labels={"ml.example/job": "nb"}, **JOB), ("change",)),
}
