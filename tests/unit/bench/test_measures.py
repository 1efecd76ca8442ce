"""What stands between a measurement and its figure: notes to starts, counts to shares, bytes to sums."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.bench.observer import Noted
from tests.bench.processes import between, usage
from tests.bench.proxy import CountingProxy
from tests.bench.start import start_of
from tests.bench.storm import right
from tests.bench.trees import OBJECT_BYTES, Directories, a_pod, api_object, write_knob
from tests.lab.apiserver import ApiServer
from tests.lab.drivers import Driver
from tests.lab.spec import Container, Instance, Pod
from tests.unit.patience import wait_until

TOOL, RUNTIME = 1_000_001, 1_000_002
POD = Pod("web", (Container("main", ("pause",)),), runtime="crun")


def a_start(*noted: Noted, first: tuple[str, int] = ("0", 9_000_000_000)) -> tuple[bool, float | None, float]:
    instance = Instance(POD, "main", "a1" * 32, "kubepods/x", 1, 1, 0, 0.0)
    found = start_of(instance, first, list(noted), TOOL)
    return found.right_at_first, found.ours_s, found.first_s


def test_a_start_is_timed_from_the_runtimes_last_write_to_the_tools_next() -> None:
    notes = (Noted(10**9, os.getpid()), Noted(2 * 10**9, RUNTIME), Noted(3 * 10**9, RUNTIME), Noted(5 * 10**9, TOOL))
    assert a_start(*notes) == (True, 2.0, 6.0)


def test_a_tools_write_before_the_runtimes_does_not_count() -> None:
    assert a_start(Noted(10**9, TOOL), Noted(2 * 10**9, RUNTIME), first=("1", 4 * 10**9)) == (False, None, 2.0)


def test_a_start_without_a_write_of_the_runtimes_was_not_seen_and_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="no write of the runtime's"):
        a_start(Noted(10**9, TOOL))


def test_kills_are_right_on_their_container_only_and_no_more_often_than_they_happened() -> None:
    kernel = {"a": 3, "b": 2}
    assert right(kernel, {"a": 3, "b": 2}) == (5, 0)
    assert right(kernel, {"a": 5}) == (3, 2)
    assert right(kernel, {"a": 1, "c": 1}) == (1, 1)


def test_the_proxy_passes_on_what_comes_and_counts_it() -> None:
    server = ApiServer(token=None)
    server.start()
    proxy = CountingProxy(int(server.url.rpartition(":")[2]))
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.port}/version") as answer:
        body = answer.read()
    server.close()
    proxy.close()
    assert b"gitVersion" in body
    assert proxy.received > len(body)
    assert proxy.sent > len("GET /version")


def test_a_process_costs_what_it_uses() -> None:
    busy = "import time\nuntil = time.monotonic() + 120\nwhile time.monotonic() < until: pass"
    with subprocess.Popen([sys.executable, "-c", busy]) as process:
        began = time.monotonic()
        before = usage(process.pid)
        wait_until(lambda: usage(process.pid).cpu_s >= before.cpu_s + 0.05, "it has used some CPU")
        cost = between(before, usage(process.pid))
        took_s = time.monotonic() - began
        process.kill()
    assert 0.05 <= cost.cpu_s <= took_s * 1.01
    assert cost.seconds <= took_s
    assert cost.rss_bytes > 1 << 20


def test_directories_stand_for_a_pods_cgroups_and_go_with_it(tmp_path: Path) -> None:
    tree = Directories(tmp_path / "cgroup", Driver("systemd"))
    pod = a_pod(1, {"oomward.dev/mode": "single"})
    started = tree.add(pod, 0.0)
    assert len(started) == 2
    assert [(tree.mount / i.path / "memory.oom.group").read_text() for i in started] == ["1\n", "1\n"]
    write_knob(tree.mount / started[0].path, 0)
    assert (tree.mount / started[0].path / "memory.oom.group").read_text() == "0\n"
    tree.remove(pod)
    assert not (tree.mount / tree.driver.pod_path(pod)).exists()
    tree.close()
    assert list(tmp_path.iterdir()) == []


def test_a_pods_object_is_as_large_as_pods_are() -> None:
    pod = a_pod(3, {})
    size = len(repr(api_object(pod, "node", [])))
    assert OBJECT_BYTES * 0.9 < size < OBJECT_BYTES * 1.5
