"""The end-to-end run: install, three herders, what must come of them, give back, uninstall. Each step says what it waits for.

Asks the cluster by kubectl only, and judges by findings.py.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.e2e import findings
from tests.e2e.findings import Json
from tests.e2e.kubectl import Kubectl, RefusedError
from tests.e2e.objects import NAMESPACE, Settings, herders, overlay
from tests.lab.agent_process import Series
from tests.lab.boot import REPO

OURS = "oomward"
SECONDS = 300.0
KILLS = 3
CLUSTER_WIDE = ("namespace", "clusterrole", "clusterrolebinding")
UNINSTALL = REPO / "manifests" / "components" / "uninstall" / "daemonset.yaml"


class NotSoError(AssertionError):
    """Something did not come to be in time; the message says what, and what was seen last."""


class Run:
    """``clock`` and ``sleep`` are time's, but for tests."""

    def __init__(
        self,
        kubectl: Kubectl,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._kubectl = kubectl
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self.version = (0, 0)

    # --------------------------------------------------------------------------------------------------------- steps

    def look(self) -> None:
        """The cluster is there, and has no oomward that is somebody else's."""
        self.version = findings.server_version(self._kubectl.json("version"))
        if self._exists("namespace", OURS):
            raise NotSoError(
                f"the cluster has a namespace {OURS} already: this run would take over and remove what is in it"
            )

    def install(self) -> None:
        """The overlay, until each node's agent is ready."""
        self._with_overlay("apply")
        self._wait(lambda: findings.rolled_out(self._daemonset()), "each node's agent is ready", self._daemonset)

    def check(self) -> None:
        """``oomward check`` on one of them finds nothing that is broken."""
        self._kubectl.run("--namespace", OURS, "exec", f"daemonset/{OURS}", "--", "oomward", "check")

    def herd(self) -> None:
        """Three herders: single, group, and asking for nothing."""
        self._kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, *herders())

    def single_lives(self) -> None:
        """Several children were killed, the container never restarted, and its pod's Events say so."""
        self._wait(
            lambda: self._killed("herder-single") >= KILLS, f"{KILLS} children of herder-single were killed", self._pods
        )
        pod = self._pod("herder-single")
        self._expect(
            findings.restarts(pod) == 0 and findings.is_running(pod), "herder-single lives on", pod.get("status")
        )
        said = set(findings.reasons(self._events(), pod))
        self._expect({"OOMModeApplied", "ProcessOOMKilled"} <= said, "Events tell of mode and kills", said)
        self._expect("ContainerOOMKilled" not in said, "no Event says that the container died", said)

    def group_dies(self) -> None:
        """What asks for group restarts, whatever the cluster's version; what asks for nothing where the kubelet groups."""
        self._dies("herder-group")
        if findings.plain_containers_die(self.version):
            self._dies("herder-plain")
            return
        self._wait(lambda: self._killed("herder-plain") > 0, "children of herder-plain were killed", self._pods)
        self._expect(
            findings.restarts(self._pod("herder-plain")) == 0,
            "before 1.28 herder-plain lives on by itself",
            self._pods(),
        )

    def seen_from_outside(self) -> None:
        """``kubectl oomward`` has every node's answer by exec through the API server, and the kills in them."""
        shown = self._kubectl.oomward("ps", "--namespace", NAMESPACE)
        pods = {str(one["pod"]).rpartition("-")[0] for one in shown["containers"]}
        self._expect(
            any(pod.startswith("herder-single") for pod in pods), "kubectl oomward ps has herder-single", shown
        )
        kills = self._kubectl.oomward("history", "--namespace", NAMESPACE)["kills"]
        self._expect(len(kills) >= KILLS, f"kubectl oomward history has {KILLS} kills", kills)
        self._kubectl.oomward("check")

    def adds_up(self) -> None:
        """No agent's metrics show that something went wrong."""
        complaints = findings.complaints(self._metrics())
        self._expect(not complaints, "nothing went wrong", complaints)

    def restore(self) -> None:
        """docs/howto/uninstall.md, step 1: values are given back, ledgers removed; where the kubelet groups, single dies then."""
        self._kubectl.run("--namespace", OURS, "patch", "daemonset", OURS, "--patch-file", str(UNINSTALL))
        self._wait(
            lambda: findings.rolled_out(self._daemonset()), "each node has given its values back", self._daemonset
        )
        if findings.plain_containers_die(self.version):
            self._wait(
                lambda: findings.restarts(self._pod("herder-single")) > 0,
                "herder-single has the kubelet's value again",
                self._pods,
            )

    def uninstall(self) -> None:
        """Nothing of ours is left in the cluster."""
        self._with_overlay("delete", "--wait=true", "--ignore-not-found")
        self._wait(
            lambda: not any(self._exists(kind, OURS) for kind in CLUSTER_WIDE),
            f"no {', '.join(CLUSTER_WIDE)} {OURS} is left",
            str,
        )

    def clean_up(self) -> None:
        """The herders, and whatever a step that failed has left."""
        self._kubectl.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
        self._with_overlay("delete", "--wait=false", "--ignore-not-found")

    # ------------------------------------------------------------------------------------------------------- questions

    def _daemonset(self) -> Json:
        return self._kubectl.json("--namespace", OURS, "get", "daemonset", OURS)

    def _pods(self) -> Json:
        return self._kubectl.json("--namespace", NAMESPACE, "get", "pods")

    def _events(self) -> Json:
        return self._kubectl.json("--namespace", NAMESPACE, "get", "events.events.k8s.io")

    def _pod(self, app: str) -> Json:
        pod = findings.pod_of(self._pods(), app)
        if pod is None:
            raise NotSoError(f"{app} has no pod")
        return pod

    def _metrics(self) -> Series:
        """Of all agents, through the API server's proxy."""
        pods = self._kubectl.json("--namespace", OURS, "get", "pods", "--selector", f"app.kubernetes.io/name={OURS}")
        names = [pod["metadata"]["name"] for pod in pods["items"]]
        pages = [
            self._kubectl.run("get", "--raw", f"/api/v1/namespaces/{OURS}/pods/{name}:9797/proxy/metrics")
            for name in names
        ]
        return findings.metrics(pages)

    def _killed(self, app: str) -> float:
        pod = findings.pod_of(self._pods(), app)
        name = pod["metadata"]["name"] if pod else ""
        return findings.value(self._metrics(), "oomward_oom_kills_total", namespace=NAMESPACE, pod=name)

    def _dies(self, app: str) -> None:
        self._wait(lambda: findings.restarts(self._pod(app)) > 0, f"{app} has been restarted", self._pods)
        pod = self._pod(app)
        self._wait(
            lambda: "ContainerOOMKilled" in findings.reasons(self._events(), pod),
            f"an Event says that {app} died",
            self._events,
        )

    def _exists(self, kind: str, name: str) -> bool:
        return bool(self._kubectl.run("get", kind, name, "--ignore-not-found", "--output", "name").strip())

    def _with_overlay(self, verb: str, *flags: str) -> None:
        with tempfile.TemporaryDirectory(prefix="oomward-e2e-") as made:
            folder = Path(made).resolve()
            (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay(self._settings, folder)))
            self._kubectl.run(verb, "--kustomize", str(folder), *flags)

    def _wait(self, condition: Callable[[], bool], what: str, seen: Callable[[], object]) -> None:
        until = self._clock() + SECONDS
        while not condition():
            if self._clock() > until:
                raise NotSoError(f"not so within {SECONDS:g} s: {what}. Seen last: {str(seen())[-2000:]}")
            self._sleep(2.0)

    @staticmethod
    def _expect(good: bool, what: str, seen: Any) -> None:
        if not good:
            raise NotSoError(f"not so: {what}. Seen: {str(seen)[-2000:]}")


STEPS: tuple[tuple[str, Callable[[Run], None]], ...] = (
    ("the cluster is there and free", Run.look),
    ("oomward is installed on each node", Run.install),
    ("oomward check finds nothing broken", Run.check),
    ("herders run", Run.herd),
    (f"single: {KILLS} kills, no restart, Events", Run.single_lives),
    ("group: restarts, Events", Run.group_dies),
    ("kubectl oomward sees all nodes and kills", Run.seen_from_outside),
    ("metrics add up", Run.adds_up),
    ("values are given back", Run.restore),
    ("nothing is left", Run.uninstall),
)


def run(subject: Run) -> int:
    """All steps up to the first that fails; cleans up in any case but one: a cluster that was not ours to begin with."""
    passed = 0
    for name, step in STEPS:
        try:
            step(subject)
        except (AssertionError, ValueError) as error:
            print(f"FAILED  {name}\n    {error}", flush=True)
            break
        passed += 1
        print(f"passed  {name}", flush=True)
    if passed:
        try:
            subject.clean_up()
        except RefusedError as error:
            print(f"not cleaned up: {error}", file=sys.stderr)
    print(f"{passed} passed, {int(passed < len(STEPS))} failed")
    return int(passed < len(STEPS))
