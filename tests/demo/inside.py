"""The demo's part that runs on the real kernel: node, API, agent and the three pods. Reports as lines of JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.demo import kubectl
from tests.demo.facts import Json, Result, Row, kills_of, share_up, to_json
from tests.demo.judge import missing_events
from tests.demo.pods import pods
from tests.lab.agent_process import AgentProcess
from tests.lab.apiserver import ApiServer
from tests.lab.drivers import Driver
from tests.lab.kubelet import MOUNT, Kubelet, memory_events
from tests.lab.runtime import first_look
from tests.lab.spec import Instance, Pod
from tests.lab.status import pod_object

NODE = "demo-node"
MODES = {"0": "single", "1": "group"}
SETTLE_S = 15.0


class Demo:
    """All parts of the demo, and its reports. ``seconds``: how long the three pods run."""

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
        """Run the pods for ``seconds``; then report the result."""
        report("phase", text="Starting oomward, the agent of this node")
        self._agent.wait_ready(90)
        report("phase", text="Starting the three pods, as real containers by runc and crun")
        began_s = time.monotonic()
        for pod in self._pods:
            self._kubelet.run_pod(pod)
        report("phase", text="The pods run")
        end_s = time.monotonic() + self._seconds
        while (now_s := time.monotonic()) < end_s:
            report("state", seconds=now_s - began_s, left=end_s - now_s, rows=self._rows(now_s))
            time.sleep(min(1.0, end_s - now_s))
        self._freeze("1")
        stopped_s, at = time.monotonic(), datetime.now(UTC)
        report("phase", text="The pods are stopped. Waiting until oomward has reported the last kills")
        self._settle()
        report("result", **to_json(self._result(stopped_s, at, stopped_s - began_s)))

    def _freeze(self, value: str) -> None:
        """``1`` stops all processes of the pods, ``0`` resumes them."""
        for pod in self._pods:
            file = MOUNT / self._kubelet.driver.pod_path(pod) / "cgroup.freeze"
            if file.exists():
                file.write_text(value)

    def _settle(self) -> None:
        """Wait for the agent, since no more processes are killed. If it is too late, the result shows it."""
        until = time.monotonic() + SETTLE_S
        while time.monotonic() < until:
            most, twice = self._kernel_count()
            caught_up = most - twice <= self._agent.total("oomward_oom_kills_total") <= most
            if caught_up and not missing_events(self._api.events):
                time.sleep(1.0)
                return
            time.sleep(0.2)

    # ----------------------------------------------------------------------------------------------------- facts

    def _kernel_count(self) -> tuple[int, int]:
        """Killed processes by the kernel's own counter of all pods, and how many of them it may have counted twice.

        It counts the first victim of a group kill twice, unless that process has exited before the group is killed.
        """
        events = memory_events(self._kubelet.driver.root)
        groups = sum(
            kills_of(i, mode_of(i), i.events.get("oom_kill", 0))[0]
            for i in self._kubelet.instances
            if mode_of(i) == "group"
        )
        return events["oom_kill"], events.get("oom_group_kill", groups)  # Linux before 5.17 doesn't count group kills

    def _rows(self, at_s: float) -> list[Json]:
        return [to_json(self._row(pod, at_s)) for pod in self._pods]

    def _row(self, pod: Pod, at_s: float) -> Row:
        instances = [i for i in self._kubelet.instances if i.pod.uid == pod.uid and i.started_s <= at_s]
        last = instances[-1]
        status: Any = pod_object(pod, NODE, instances)["status"]
        next_start_s = None if last.running else last.next_start_s
        kills = [kills_of(i, mode_of(i), oom_kills(i)) for i in instances]
        return Row(
            pod=pod.name,
            status=kubectl.status(status["containerStatuses"][0]),
            next_try_s=None if next_start_s is None else max(0.0, next_start_s - at_s),
            up=share_up(instances, at_s),
            restarts=len(instances) - 1,
            kills=sum(happened for happened, _ in kills),
            survived=sum(survived for _, survived in kills),
            mode=mode_of(last),
        )

    def _result(self, stopped_s: float, at: datetime, seconds: float) -> Result:
        kernel, kernel_group = self._kernel_count()
        page = self._agent.get("/metrics")[1].splitlines()
        return Result(
            at=at.isoformat(),
            seconds=seconds,
            rows=tuple(self._row(pod, stopped_s) for pod in self._pods),
            counted=int(self._agent.total("oomward_oom_kills_total")),
            kernel=kernel,
            kernel_group=kernel_group,
            unattributed=int(self._agent.total("oomward_unattributed_oom_kills_total")),
            events=self._api.events,
            metrics=[
                line for line in page if line.startswith("oomward_oom_kills_total{") and not line.endswith(" 0.0")
            ],
        )

    def close(self) -> None:
        """Stop everything."""
        self._agent.stop()
        self._freeze("0")
        self._kubelet.close()
        self._api.close()


def mode_of(instance: Instance) -> str:
    """The OOM mode in force for a container; of a removed one, the mode at its first instruction, else the kubelet's."""
    try:
        value = (MOUNT / instance.path / "memory.oom.group").read_text().strip()
    except OSError:
        value = (first_look(instance.container_id) or ("1", 0))[0]
    return MODES.get(value, "group")


def oom_kills(instance: Instance) -> int:
    """The kernel's count of killed processes in a container, also in a removed one."""
    return (memory_events(instance.path) if instance.running else instance.events).get("oom_kill", 0)


def report(what: str, **facts: object) -> None:
    """A line for the part of the demo that has the screen."""
    print(json.dumps({"what": what, **facts}), flush=True)


def main() -> int:
    """``python -m tests.demo.inside``, on the real kernel."""
    demo = Demo(float(os.environ.get("DEMO_SECONDS", "60")))
    try:
        demo.run()
    finally:
        demo.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
