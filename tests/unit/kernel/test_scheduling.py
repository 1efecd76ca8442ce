"""The scheduler: the best class that a kernel gives, for every thread. Made up here; tests/kernel/test_busy_node.py has real kernels."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel import scheduling
from agent.kernel.scheduling import SchedulingClass, in_root_cgroup, raise_priority, set_nice, suspend_real_time

EPERM = PermissionError(errno.EPERM, "Operation not permitted")
ENOSYS = OSError(errno.ENOSYS, "Function not implemented")  # musl
ESRCH = ProcessLookupError(errno.ESRCH, "No such process")


class Kernel:
    """What was given to which thread; ``refuses`` by what is asked for, ``gone`` threads that have ended."""

    def __init__(self) -> None:
        self.given: dict[int, object] = {}
        self.nice: int | None = None
        self.refuses: dict[object, OSError] = {}
        self.gone: set[int] = set()

    def set_scheduler(self, thread: int, policy: int, param: os.sched_param) -> None:
        if thread in self.gone:
            raise ESRCH
        if (refused := self.refuses.get(policy)) is not None:
            raise refused
        self.given[thread] = (policy, param.sched_priority)

    def set_priority(self, which: int, who: int, nice: int) -> None:
        assert (which, who) == (os.PRIO_PROCESS, os.getpid()), "the main thread's, whichever thread asks"
        if "nice" in self.refuses:
            raise self.refuses["nice"]
        self.nice = nice


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(os, "sched_setscheduler", kernel.set_scheduler)
    monkeypatch.setattr(os, "setpriority", kernel.set_priority)
    monkeypatch.setattr(scheduling, "set_nice", set_nice)
    monkeypatch.setattr(scheduling, "in_root_cgroup", lambda: False)
    return kernel


@pytest.fixture
def other() -> Iterator[int]:
    """A second thread of this process."""
    over, began = threading.Event(), threading.Event()

    def body() -> None:
        began.set()
        over.wait()

    thread = threading.Thread(target=body)
    thread.start()
    began.wait()
    assert thread.native_id is not None
    yield thread.native_id
    over.set()
    thread.join()


ROUND_ROBIN = (os.SCHED_RR, 1)


def test_round_robin_is_for_all_threads_since_any_may_have_the_interpreters_lock(kernel: Kernel, other: int) -> None:
    assert raise_priority() is SchedulingClass.ROUND_ROBIN
    assert (kernel.given[os.getpid()], kernel.given[other]) == (ROUND_ROBIN, ROUND_ROBIN)
    assert kernel.nice == scheduling.NICE, "for the times when real-time priority is suspended"


def test_in_the_root_cgroup_a_nice_value_is_enough(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "in_root_cgroup", lambda: True)
    assert raise_priority() is SchedulingClass.NICE_AMONG_ALL
    assert (kernel.nice, kernel.given) == (scheduling.NICE, {})
    kernel.refuses["nice"] = EPERM
    assert raise_priority() is SchedulingClass.ROUND_ROBIN


@pytest.mark.parametrize(
    ("namespace", "cgroup", "root"),
    [
        ("4026531835", "0::/\n", True),
        ("4026531835", "0::/kubepods.slice/x.scope\n", False),
        ("4026532000", "0::/\n", False),
        ("4026531835", "5:memory:/a\n4:cpu,cpuacct:/\n0::/\n", True),
        ("4026531835", "5:memory:/\n4:cpu,cpuacct:/a:b\n0::/\n", False),
        ("4026531835", "5:memory:/a\n0::/\n", True),
        ("4026531835", "", False),
        (None, "0::/\n", False),
    ],
    ids=[
        "root",
        "container",
        "namespace of its own",
        "v1 root",
        "v1 container",
        "no cpu on v1",
        "nothing",
        "no namespaces",
    ],
)
def test_it_is_in_the_root_cgroup_where_no_other_weight_counts(
    tmp_path: Path, namespace: str | None, cgroup: str, root: bool
) -> None:
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/cgroup").write_text(cgroup)
    if namespace is not None:
        (tmp_path / "self/ns/cgroup").symlink_to(f"cgroup:[{namespace}]")
    assert in_root_cgroup(tmp_path) is root


@pytest.mark.parametrize("why", [EPERM, ENOSYS], ids=["kept from cgroups", "a C library without it"])
def test_where_real_time_is_refused_a_nice_value_is_left(kernel: Kernel, why: OSError) -> None:
    kernel.refuses[os.SCHED_RR] = why
    assert raise_priority() is SchedulingClass.NICE
    assert (kernel.nice, kernel.given) == (scheduling.NICE, {})


def test_without_the_capability_it_stays_as_any_other_program(kernel: Kernel) -> None:
    kernel.refuses |= {os.SCHED_RR: EPERM, "nice": EPERM}
    assert raise_priority() is SchedulingClass.USUAL
    assert set_nice() is SchedulingClass.USUAL


def test_a_thread_that_has_ended_meanwhile_is_no_trouble(kernel: Kernel, other: int) -> None:
    kernel.gone.add(other)
    assert raise_priority() is SchedulingClass.ROUND_ROBIN
    suspend_real_time()


def test_suspending_is_for_all_threads(kernel: Kernel, other: int) -> None:
    raise_priority()
    suspend_real_time()
    assert (kernel.given[os.getpid()], kernel.given[other]) == ((os.SCHED_OTHER, 0), (os.SCHED_OTHER, 0))
