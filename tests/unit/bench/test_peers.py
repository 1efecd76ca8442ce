"""The rebuilt tools do what was published of those they stand for."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.contestants import PEERS
from tests.bench.peers.api_exporter import died
from tests.bench.peers.kmsg_exporter import container_of
from tests.bench.peers.poller import container_paths
from tests.lab.drivers import Driver
from tests.lab.spec import Container, Instance, Pod
from tests.lab.status import pod_object
from tests.unit.patience import wait_until

ID = "a1" * 32
POD = Pod("web", (Container("main", ("pause",)),), labels={}, runtime="runc")
SHAPES = [
    (driver, runtime, guaranteed, static)
    for driver in ("cgroupfs", "systemd")
    for runtime in ("runc", "crun")
    for guaranteed in (False, True)
    for static in (None, "5" * 32)
]


def instance(pod: Pod, path: str = "x", **changes: Any) -> Instance:
    return Instance(pod, "main", ID, path, 1, 1, changes.pop("restart", 0), time.monotonic(), **changes)


@pytest.mark.parametrize(("driver", "runtime", "guaranteed", "static"), SHAPES)
def test_the_kernel_logs_line_gives_the_container_in_every_layout(
    driver: str, runtime: str, guaranteed: bool, static: str | None
) -> None:
    pod = Pod("web", POD.containers, runtime=runtime, guaranteed=guaranteed, config_hash=static)
    path = Driver(driver).process_path(pod, ID)
    line = f"6,7,8,-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/x,task_memcg=/{path},task=hog,pid=1,uid=0\n"
    assert container_of(line.encode()) == ID


@pytest.mark.parametrize(
    "text", ["Memory cgroup out of memory: Killed process 1 (hog)", "oom-kill:constraint=X,task_memcg=/system.slice/a"]
)
def test_other_lines_of_the_log_give_none(text: str) -> None:
    assert container_of(f"6,7,8,-;{text}\n".encode()) is None


def test_a_restart_after_an_oom_kill_is_counted_once_and_by_the_one_that_died() -> None:
    first = instance(POD, exit_code=137, events={"oom_kill": 3})
    second = Instance(POD, "main", "b2" * 32, "x", 2, 2, 1, time.monotonic())
    known: dict[tuple[str, str], int] = {}
    assert died(pod_object(POD, "node", [first]), known) == []
    assert died(pod_object(POD, "node", [first, second]), known) == [ID]
    assert died(pod_object(POD, "node", [first, second]), known) == []


def test_a_restart_for_another_reason_is_not_counted() -> None:
    first = instance(POD, exit_code=1)
    second = Instance(POD, "main", "b2" * 32, "x", 2, 2, 1, time.monotonic())
    assert died(pod_object(POD, "node", [first, second]), {}) == []


@pytest.mark.parametrize("guaranteed", [False, True])
@pytest.mark.parametrize("driver", ["cgroupfs", "systemd"])
def test_the_poller_computes_containerds_paths(driver: str, guaranteed: bool) -> None:
    pod = Pod("web", POD.containers, runtime="runc", guaranteed=guaranteed)
    layout = Driver(driver)
    ((container_id, paths),) = container_paths(layout.root, pod_object(pod, "node", [instance(pod)]))
    assert container_id == ID
    assert layout.process_path(pod, ID) in paths


def test_the_poller_leaves_alone_what_does_not_run() -> None:
    assert list(container_paths("kubepods", pod_object(POD, "node", [instance(POD, exit_code=0)]))) == []


def test_the_shell_writes_0_into_every_knob_below(tmp_path: Path) -> None:
    knobs = [tmp_path / name / "memory.oom.group" for name in ("a", "b")]
    for knob in knobs:
        knob.parent.mkdir()
        knob.write_text("1\n")
    process = subprocess.Popen(["sh", str(PEERS / "shell.sh"), str(tmp_path), "60"], process_group=0)
    try:
        wait_until(lambda: [knob.read_text() for knob in knobs] == ["0\n", "0\n"], "both are 0")
    finally:
        os.killpg(process.pid, 9)
        process.wait()
