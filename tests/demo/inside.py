"""The demo's part that runs on the real kernel: node, API, agent and the three pods; tells what it sees as JSON lines."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.lab.agent_process import AgentProcess
from tests.lab.apiserver import ApiServer
from tests.lab.drivers import Driver
from tests.lab.kubelet import MOUNT, Kubelet, memory_events
from tests.lab.spec import Container, Pod

NODE = "demo-node"
LIMIT_MIB = 256
HERDER = (
    "herd",
    "1",
    "0",
    "4",
    "300",
)  # one child at a time: eats a MiB every 4 ms until killed, the next one 300 ms later
MODE = "oomward.dev/mode"
METRICS = ("oomward_oom_kills_total", "oomward_container_oom_group", "oomward_unattributed", "oomward_host", "oomward_writes_total",
           "oomward_drift", "oomward_resync", "oomward_events_total")  # fmt: skip


def herder(name: str, runtime: str, labels: dict[str, str], annotations: dict[str, str]) -> Pod:
    container = Container("herder", HERDER, LIMIT_MIB)
    return Pod(name, (container,), labels={"app": "herder", **labels}, annotations=annotations, runtime=runtime)


def pods() -> list[Pod]:
    """The same program three times: not asking, asking by label, asking for one container by annotation."""
    return [
        herder("herder-plain", "runc", {}, {}),
        herder("herder-label", "runc", {MODE: "single"}, {}),
        herder("herder-annotation", "crun", {}, {"mode.oomward.dev/herder": "single"}),
    ]


class Demo:
    """Everything that runs, and what is told of it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._work = Path("/run/oomward-demo")
        self._work.mkdir(parents=True, exist_ok=True)
        self._api = ApiServer()
        self._api.start()
        self._api.write_kubeconfig(self._work / "kubeconfig")
        self._kubelet = Kubelet(
            NODE,
            Driver("systemd"),
            publish=self._api.put_pod,
            remove=lambda pod: self._api.delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"]),  # type: ignore[index]
        )
        self._agent = AgentProcess(self._work, self._work / "kubeconfig", node_name=NODE)
        self._pods = pods()

    def run(self) -> None:
        """The pods, for the time asked for; then the sum."""
        tell("say", text="the agent starts; three pods with the same herder under 256 MiB follow")
        self._agent.wait_ready(90)
        for pod in self._pods:
            self._kubelet.run_pod(pod)
        began = time.monotonic()
        while time.monotonic() - began < self._seconds:
            self._tell_state(time.monotonic() - began)
            time.sleep(1.0)
        for pod in self._pods:
            (MOUNT / self._kubelet.driver.pod_path(pod) / "cgroup.freeze").write_text("1")
        self._settle()
        self._tell_state(self._seconds)
        self._tell_result()

    def _kernel_count(self) -> tuple[int, int]:
        """Processes by the kernel's own counter of all pods, at least and at most.

        A group kill counts its first victim twice, unless that one had ended by the time the group's turn came.
        """
        events = memory_events(self._kubelet.driver.root)
        return events["oom_kill"] - events["oom_group_kill"], events["oom_kill"]

    def _settle(self) -> None:
        """Nothing is killed any more: let the agent come to its end of it, Events too. Not reached: the result shows it."""
        until = time.monotonic() + 15
        while time.monotonic() < until:
            page = self._agent.metrics()
            told = sum(value for (name, _), value in page.items() if name == "oomward_oom_kills_total")
            least, most = self._kernel_count()
            if least <= told <= most and page.get(("oomward_events_pending", frozenset())) == 0:
                time.sleep(1.0)
                return
            time.sleep(0.2)

    def _row(self, pod: Pod) -> dict[str, Any]:
        instances = [i for i in self._kubelet.instances if i.pod.uid == pod.uid]
        last = instances[-1]
        kills = self._agent.log_lines(event="oom_kill", pod=pod.name)
        victim = kills[-1] if kills else {}
        knob = MOUNT / last.path / "memory.oom.group"
        return {
            "pod": pod.name,
            "mode": {"0": "single", "1": "group"}.get(knob.read_text().strip(), "?") if knob.exists() else "-",
            "asked": "label" if MODE in pod.labels else ("annotation" if pod.annotations else "-"),
            "pid1_age_s": round(time.monotonic() - last.started_s, 1) if last.running else None,
            "restarts": len(instances) - 1,
            "killed": int(self._agent.total("oomward_oom_kills_total", pod=pod.name)),
            "last_victim": f"{victim.get('victim_comm')} ({victim.get('victim_pid')})" if victim else "-",
        }

    def _tell_state(self, elapsed_s: float) -> None:
        tell("state", elapsed_s=round(elapsed_s), rows=[self._row(pod) for pod in self._pods])

    def _tell_result(self) -> None:
        page = self._agent.get("/metrics")[1].splitlines()
        tell(
            "result",
            rows=[self._row(pod) for pod in self._pods],
            kernel_count=list(self._kernel_count()),
            metrics_count=int(self._agent.total("oomward_oom_kills_total")),
            unattributed=int(self._agent.total("oomward_unattributed_oom_kills_total")),
            events=[event_row(event) for event in self._api.events],
            metrics=[
                line for line in page if line.startswith(METRICS) and "_created" not in line and _worth_showing(line)
            ],
        )

    def close(self) -> None:
        self._agent.stop()
        for pod in self._pods:
            freeze = MOUNT / self._kubelet.driver.pod_path(pod) / "cgroup.freeze"
            if freeze.exists():
                freeze.write_text("0")
        self._kubelet.close()
        self._api.close()


def event_row(event: dict[str, Any]) -> dict[str, Any]:
    """What ``kubectl describe`` shows of an Event."""
    return {
        "pod": event["regarding"]["name"],
        "type": event["type"],
        "reason": event["reason"],
        "from": event["reportingController"],
        "time": event["eventTime"],
        "count": event.get("series", {"count": 1})["count"],
        "message": event["note"],
    }


def _worth_showing(line: str) -> bool:
    """Not the zeros that only make series begin."""
    return not line.endswith(" 0.0") or not line.startswith(
        ("oomward_oom_kills_total", "oomward_writes_total", "oomward_events_total")
    )


def tell(what: str, **facts: object) -> None:
    """A line for the part of the demo that has the screen."""
    print(json.dumps({"what": what, **facts}), flush=True)


def main() -> int:
    demo = Demo(float(os.environ.get("DEMO_SECONDS", "60")))
    try:
        demo.run()
    finally:
        demo.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
