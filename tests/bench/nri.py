"""Group start, part nri: what NRI changes at a start, on an idle and on a busy node, with and without real-time priority.

Runs beside a real systemd and containerd: ``python -m tests.bench.nri --containers 40``. Each pod has two containers with the same memory limit and different
modes. The agent is in a cgroup of its own with the weight of its pod's CPU request; on the busy node three loops in another cgroup use the processor.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Result, Table, Verdict, leave, ms, quantile, share
from tests.kernel.conftest import MODE, Node
from tests.lab import cgroups
from tests.lab.kubelet import MOUNT
from tests.lab.spec import Container, Pod
from tests.systemd.conftest import make_cri_node

LOOPS = 3
WEIGHT = 2  # of a CPU request of 50m
ANSWERED_S = 0.005  # the goal's; one of the metric's buckets
ANSWERS = "oomward_nri_answer_duration_seconds"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: how the agent runs, and on what node."""

    nri: bool
    busy: bool
    real_time: bool


@dataclass(frozen=True, slots=True)
class Starts:
    """``pod_s``: seconds from the request for a pod until both of its containers run. ``answers``: in time, and all; of those that were asked."""

    right: int
    containers: int
    pod_s: list[float]
    answers: tuple[int, int]


SETTINGS = (
    Setting(nri=True, busy=False, real_time=True),
    Setting(nri=True, busy=False, real_time=False),
    Setting(nri=False, busy=False, real_time=True),
    Setting(nri=True, busy=True, real_time=True),
    Setting(nri=True, busy=True, real_time=False),
    Setting(nri=False, busy=True, real_time=True),
    Setting(nri=False, busy=True, real_time=False),
)


@contextmanager
def busy(enabled: bool) -> Iterator[None]:
    """Loops in a cgroup with the usual weight."""
    cgroups.make("loops")
    loops = [_in_cgroup("loops", "sh", "-c", "while :; do :; done") for _ in range(LOOPS if enabled else 0)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
        cgroups.remove("loops")


def _in_cgroup(path: str, *command: str) -> subprocess.Popen[bytes]:
    leaf = MOUNT / path / "leaf"
    leaf.mkdir(exist_ok=True)
    return subprocess.Popen(["sh", "-c", f'echo $$ > {leaf}/cgroup.procs && exec "$@"', "sh", *command])


def measure(setting: Setting, pods: int, work: Path) -> Starts:
    """Start pods one after the other."""
    node = make_cri_node(work, "systemd", nri=setting.nri, status_delay_s=1.0)
    try:
        real_time = () if setting.real_time else ("--real-time", "false")
        node.start_agent("--mode-applied-events", "false", *real_time)
        _give_weight(node)
        node.agent.wait_for(lambda: node.agent.total("oomward_nri_connected") == setting.nri, 60, "connected")
        asked_before, in_time_before = _answers(node)
        with busy(setting.busy):
            took, right = [], 0
            for number in range(pods):
                pod = _pod(number)
                began = time.monotonic()
                started = node.kubelet.run_pod(pod)
                took.append(time.monotonic() - began)
                looks = [node.kubelet.first_look(one) for one in started]
                right += sum(look == wanted for look, wanted in zip(looks, ("0", "1"), strict=True))
        asked, in_time = _answers(node)
        return Starts(right, 2 * pods, took, (in_time - in_time_before, asked - asked_before))
    finally:
        node.close()


def _pod(number: int) -> Pod:
    containers = Container("main", ("pause",), 16), Container("sidecar", ("pause",), 16)
    annotations = {"mode.oomward.dev/sidecar": "group"}
    return Pod(f"mixed-{number}", containers, labels={MODE: "single"}, annotations=annotations, runtime="crun")


def _give_weight(node: Node) -> None:
    cgroups.make("agent")
    (MOUNT / "agent" / "cpu.weight").write_text(str(WEIGHT))
    leaf = MOUNT / "agent" / "leaf"
    leaf.mkdir(exist_ok=True)
    (leaf / "cgroup.procs").write_text(str(node.agent.process.pid))


def _answers(node: Node) -> tuple[int, int]:
    """How many the agent gave, and how many of them within ANSWERED_S."""
    return int(node.agent.total(f"{ANSWERS}_count")), int(node.agent.total(f"{ANSWERS}_bucket", le=str(ANSWERED_S)))


def main() -> int:
    """Measure every setting and leave the result."""
    top = argparse.ArgumentParser(prog="python -m tests.bench.nri")
    top.add_argument("--containers", type=int, default=40)
    containers = top.parse_args().containers
    rows, found = [], {}
    for number, setting in enumerate(SETTINGS):
        with tempfile.TemporaryDirectory(prefix="nri-") as work:
            starts = found[setting] = measure(setting, containers // 2, Path(work))
        rows.append(
            (
                "on" if setting.nri else "off",
                "busy" if setting.busy else "idle",
                "yes" if setting.real_time else "no",
                share(starts.right, starts.containers),
                share(*starts.answers) if setting.nri else "-",
                ms(quantile(starts.pod_s, 0.5)),
                ms(max(starts.pod_s)),
            )
        )
        print(number, *rows[-1], flush=True)
    idle = found[SETTINGS[0]]
    in_time, asked = idle.answers
    verdict = Verdict(
        "nri",
        f"{share(in_time, asked)} within 5 ms; {share(idle.right, idle.containers)} in force",
        in_time >= 0.99 * asked,
    )
    table = Table(
        "Starts of two containers with one limit and different modes",
        (
            "NRI",
            "node",
            "real-time priority",
            "mode in force at the first instruction",
            "answered within 5 ms",
            "pod started p50 (ms)",
            "longest (ms)",
        ),
        tuple(rows),
        f"{containers} containers of crun each, on containerd 2.1 and systemd as PID 1, one CPU. Answers: all requests of the runtime, measured in the agent. "
        f"The agent has cpu.weight {WEIGHT}, as with a request of 50m. Busy: {LOOPS} loops in another cgroup.",
    )
    leave(
        Result("start", "nri", "lab", {"containers": containers}, (table,), (verdict,)),
        Path(os.environ["OOMWARD_LAB_OUT"]),
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
