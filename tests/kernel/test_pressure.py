"""A container that fills its limit is reported before the kernel kills, and one full of page cache is not. There is no PSI here."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.kernel.conftest import DRIVERS, MODE, RUNTIMES, Node, make_node
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import Container, Instance, Pod

OUT = Path(os.environ.get("OOMWARD_LAB_OUT", "/dev/shm"))
HEALTHY_S = 20.0
READER = """
import os, random, sys, time
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
file, pages = os.open(sys.argv[2], os.O_RDONLY), int(sys.argv[3]) * 256
while True:
    for _ in range(20):
        os.pread(file, 4096, random.randrange(pages) * 4096)
    time.sleep(0.01)
"""
Reading = Callable[[Instance, int], AbstractContextManager[None]]  # a container, MiB


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), request.param, status_delay_s=0.2)
    node.start_agent("--mode-applied-events", "false", "--pressure-events", "all")
    yield node
    node.close()


def start(node: Node, name: str, runtime: str, **annotations: str) -> Instance:
    pod = Pod(name, (Container("main", ("pause",)),), labels={MODE: "single"}, annotations=annotations, runtime=runtime)
    (instance,) = node.kubelet.run_pod(pod)
    named = {("pod", name)}
    node.agent.wait_for(lambda: any(named.issubset(labels) for _, labels in node.agent.metrics()), 60, "named")
    return instance


@pytest.fixture
def reading() -> Reading:
    """A process in the container that reads a file of this size, here and there."""
    return _reading_a_file


@contextmanager
def _reading_a_file(instance: Instance, mib: int) -> Iterator[None]:
    path = OUT / f"read-{instance.pod.name}"
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # its pages are charged to who reads them first
    try:
        with reading_from(path, instance, mib):
            yield
    finally:
        path.unlink()


@contextmanager
def reading_from(path: Path, instance: Instance, mib: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", READER, str(MOUNT / instance.path), str(path), str(mib)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_leak_beside_page_cache_is_reported_before_it_is_killed(node: Node, reading: Reading, runtime: str) -> None:
    instance = start(node, f"leak-{runtime}", runtime)
    with reading(instance, 24):
        time.sleep(3.0)
        node.kubelet.execute(instance, "eat", "0", "leak", "500")  # 2 MiB/s: the Event waits a second for the kill
        node.agent.wait_for(
            lambda: node.agent.log_lines(event="memory_limit_pressure", pod=instance.pod.name), 60, "said"
        )
        assert memory_events(instance.path).get("oom_kill", 0) == 0, "before the kill"
        node.kubelet.wait_for(lambda: memory_events(instance.path).get("oom_kill", 0) > 0, 60)
    (line,) = node.agent.log_lines(event="memory_limit_pressure", pod=instance.pod.name)
    assert "leak" in str(line["largest"])
    node.agent.wait_for(lambda: node.events("MemoryLimitPressure", instance.pod.name), 60, "posted")
    (event,) = node.events("MemoryLimitPressure", instance.pod.name)
    assert event["note"].startswith("Container main is at its memory limit of 64 MiB")
    node.agent.wait_for(
        lambda: node.agent.total("oomward_memory_limit_pressure", pod=instance.pod.name) == 0, 60, "over"
    )
    assert node.agent.total("oomward_memory_limit_pressure_seconds_total", pod=instance.pod.name) > 0


def test_a_container_full_of_page_cache_is_not_reported(node: Node, reading: Reading) -> None:
    instance = start(node, "cache", "runc")
    with reading(instance, 160):
        time.sleep(HEALTHY_S)
    assert node.agent.log_lines(event="memory_limit_pressure", pod="cache") == []
    assert node.events("MemoryLimitPressure", "cache") == []


def test_what_is_asked_for_a_stall_can_not_be_done_here_and_is_said_to_be(node: Node) -> None:
    """This kernel has no PSI."""
    start(node, "asks", "runc", **{"oomward.dev/on-stall": "kill-largest"})
    node.agent.wait_for(lambda: node.events("OOMModeFailed", "asks"), 60, "said")
    (event,) = node.events("OOMModeFailed", "asks")
    assert "reports no stalls (PSI)" in event["note"]
