"""What filled a limit, on a real kernel: by the report where it says so, and where the log can't be read by memory.stat right after.

Each container's PID 1 leaves the filling to a child, which the kernel prefers, so that the cgroup is there after the kill.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.model import Filled, OomKill, Scope
from agent.wording.filled import filled_by
from tests.kernel.conftest import FAMILY, MODE, Node, make_node
from tests.kernel.test_kills import recorded
from tests.lab.spec import MIB, Container, Folder, Pod, Program

WITHOUT_LOG = ("--kmsg", "/nowhere")
CHILD = """
import os, resource, signal, sys
if os.fork():
    os.wait()
    while True:
        signal.pause()
open("/proc/self/oom_score_adj", "w").write("1000")
chunk = b"x" * (1 << 20)
"""
TMPFS = (
    CHILD
    + """
file = open("/tmp/full", "wb", buffering=0)
while True:
    file.write(chunk)
"""
)
CACHE = TMPFS.replace("/tmp/", "/ramfs/")
PIPES = (
    CHILD
    + """
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
ends = []
while True:
    ends.append(os.pipe2(os.O_NONBLOCK))
    os.write(ends[-1][1], chunk)
"""
)
NAMES = (
    CHILD
    + """
import itertools
for number in itertools.count():
    os.close(os.open(f"/ramfs/{number}", os.O_CREAT | os.O_WRONLY))
"""
)
SOCKETS = (
    CHILD
    + """
import socket
there = socket.create_server(("127.0.0.1", 0), backlog=1000)
kept = []
while True:  # what is sent and not read waits in the buffers of both ends
    kept.append(socket.create_connection(there.getsockname()))
    kept.append(there.accept()[0])
    kept[-2].setblocking(False)
    try:
        while kept[-2].send(chunk):
            pass
    except BlockingIOError:
        pass
"""
)
LATE = (
    CHILD
    + """
import time
time.sleep(float(sys.argv[1]))
eaten = []
while True:
    eaten.append(bytearray(b"x") * (1 << 20))
"""
)
KEEP = """
import signal, sys
kept = bytearray(b"x") * (int(sys.argv[1]) << 20)
signal.pause()
"""


@pytest.fixture(scope="module", params=[(), WITHOUT_LOG], ids=["log", "without-log"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "systemd", status_delay_s=0.3)
    node.start_agent(*request.param)
    yield node
    node.close()


def python(code: str, *arguments: str, **options: Any) -> Program:
    return Program(("python3", "-c", code, *arguments), **options)


def run(node: Node, name: str, *containers: Container, limit_mib: int | None = None) -> tuple[OomKill, str]:
    """The pod's first kill, and the note of its Event."""
    node.kubelet.run_pod(Pod(name, containers, labels={MODE: "single"}, limit_mib=limit_mib))
    node.agent.wait_for(lambda: node.events("ProcessOOMKilled", name), 90, f"{name} told")
    return recorded(node, name)[0], str(node.events("ProcessOOMKilled", name)[0]["note"])


def main(code: str, limit_mib: int | None = 64, **options: Any) -> Container:
    volume = options.pop("memory_volume", "")
    return Container("main", (), limit_mib, program=python(code, **options), memory_volume=volume)


def processes_fill_the_limit(node: Node) -> None:
    """On cgroup v1 as well."""
    kill, note = run(node, "processes", Container("main", FAMILY, 64))
    assert (filled_by(kill), kill.scope) == (Filled.PROCESSES, Scope.CONTAINER)
    assert kill.use is not None
    assert "Raise the limit from 64Mi to 96Mi" in note


def files_fill_it_and_stay(node: Node) -> str:
    """On cgroup v1 as well. Returns the Event's note."""
    kill, note = run(node, "files", main(TMPFS, memory_volume="cache"))
    assert filled_by(kill) is Filled.SHARED
    assert kill.use is not None
    assert (kill.use.shmem or 0) > 32 * MIB
    assert "files in emptyDir cache (in memory, no sizeLimit) count toward the limit" in note
    return note


def test_processes_fill_the_limit(node: Node) -> None:
    processes_fill_the_limit(node)


def test_files_in_an_empty_dir_in_memory_fill_it_and_stay_after_the_kill(node: Node) -> None:
    assert "Raise the limit" not in files_fill_it_and_stay(node)


@pytest.fixture
def ramfs(tmp_path: Path) -> Iterator[Folder]:
    """What is in it can neither be written back nor dropped."""
    subprocess.run(["mount", "-t", "ramfs", "ramfs", str(tmp_path)], check=True)
    tmp_path.chmod(0o777)
    yield Folder("/ramfs", str(tmp_path), writable=True)
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_page_cache_that_can_not_be_freed_fills_it(node: Node, ramfs: Folder) -> None:
    kill, note = run(node, "cache", main(CACHE, folders=(ramfs,)))
    assert filled_by(kill) is Filled.PAGE_CACHE
    assert "was page cache" in note


def test_names_and_inodes_of_files_fill_it(node: Node, ramfs: Folder) -> None:
    kill, note = run(node, "names", main(NAMES, limit_mib=40, folders=(ramfs,)))
    assert filled_by(kill) is Filled.KERNEL
    assert "most of it for names and inodes of files (dentries)" in note


@pytest.mark.parametrize(
    ("name", "code", "kind", "said"),
    [
        ("pipes", PIPES, Filled.KERNEL, "was kernel memory"),
        ("connections", SOCKETS, Filled.SOCKETS, "was buffers of network connections"),
    ],
    ids=["pipes", "connections"],
)
def test_what_is_sent_and_not_read_fills_it(
    node: Node, request: pytest.FixtureRequest, name: str, code: str, kind: Filled, said: str
) -> None:
    """It is freed with its process, so only the report shows it."""
    kill, note = run(node, name, main(code, limit_mib=40))
    assert kill.use is not None
    has_log = request.node.callspec.params["node"] != WITHOUT_LOG
    assert kill.use.by_report is has_log
    if has_log:
        assert filled_by(kill) is kind
        assert said in note


def test_another_container_fills_the_pods_limit(node: Node) -> None:
    """The kernel kills in the smaller one, which it prefers by oom_score_adj. That begins to eat when the other has its memory."""
    keeper = Container("keeper", (), None, program=python(KEEP, "40", oom_score_adj=-900))
    late = Container("main", (), None, program=python(LATE, "3"))
    kill, note = run(node, "shared", keeper, late, limit_mib=80)
    assert (kill.container, kill.scope) == ("main", Scope.POD)
    assert kill.containers[0].name == "keeper"
    assert sum(one.usage_bytes for one in kill.containers) > 60 * MIB
    assert "ontainer keeper used most of the pod's memory" in note


def test_the_last_line_of_each_kill_has_it_once(node: Node) -> None:
    for name in ("processes", "files", "shared"):
        last = node.agent.log_lines(event="oom_kill_settled", pod=name)
        assert len({line["kill_id"] for line in last}) == len(last) > 0
        assert last[0]["outcome"] in ("survived", "died")
        assert last[0]["memory"] is not None
        assert last[0]["filled_by"] == filled_by(recorded(node, name)[0])
