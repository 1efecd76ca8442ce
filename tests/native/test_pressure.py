"""Real pressure with PSI, on this machine's own kernel: needs root, PSI, and a memory controller on cgroup v1 or v2."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cgroup.psi import has_psi
from agent.model import Cgroup
from tests.bench.pressure import HEALTHY, LEAKS, LIMIT_MIB, Pod, Watcher, enable_controller, make_file, run_leak

PROC = Path("/proc")
PATIENCE_S = 30.0


@pytest.fixture(scope="session", autouse=True)
def psi() -> None:
    if os.geteuid() != 0 or not has_psi():
        pytest.fail("these tests need root and a kernel with PSI", pytrace=False)
    enable_controller()


@pytest.fixture(scope="module")
def file() -> Iterator[Path]:
    """On a disk: a tmpfs has no page cache to free."""
    path = Path(f"/var/tmp/oomward-native-{os.getpid()}")
    make_file(path, 4 * LIMIT_MIB)
    yield path
    path.unlink()


def threads_of_psi() -> int:
    found = 0
    for process in PROC.iterdir():
        try:
            found += process.name.isdigit() and (process / "comm").read_text().startswith("psimon")
        except OSError:
            continue
    return found


def test_a_leak_beside_page_cache_in_use_is_seen_seconds_before_it_is_killed(file: Path) -> None:
    lead_s, _ = run_leak(LEAKS[1], 1, file)
    assert lead_s is not None
    assert lead_s > 0.3


def test_a_trigger_signals_a_stall_needs_no_thread_of_the_kernel_and_is_dropped_with_its_cgroup(file: Path) -> None:
    before = threads_of_psi()
    program = HEALTHY["random reads of a file of four times the limit"].replace("time.sleep(0.02)", "pass")
    pod = Pod(f"oomward-native-{os.getpid()}", [program, str(file), "16"], limit_mib=16)
    watcher = Watcher({pod.name: pod})
    assert watcher.psi is not None
    try:
        assert watcher.psi.watch(pod.cgroup)
        assert threads_of_psi() == before
        began_us = watcher.psi.stalled_us(pod.cgroup)
        pod.start()
        until_s = time.monotonic() + PATIENCE_S
        signalled = list[Cgroup]()
        while not signalled and time.monotonic() < until_s:
            signalled = watcher.psi.signalled(watcher.waiting.wait(1.0))
        now_us = watcher.psi.stalled_us(pod.cgroup)
        assert began_us is not None
        assert now_us is not None
        assert now_us > began_us
        if now_us - began_us > 5_000_000:  # else this disk is too fast for a stall of 150 ms in 2 s
            assert signalled == [pod.cgroup]
    finally:
        pod.end()
    watcher.psi.signalled(watcher.waiting.wait(5.0))
    assert len(watcher.psi) == 0
    watcher.close()
