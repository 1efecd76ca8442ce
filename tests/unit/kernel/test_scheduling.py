"""The scheduler: the best policy that a kernel gives, for every thread. Made up here; tests/kernel/test_busy_node.py has real kernels."""

from __future__ import annotations

import errno
import os
import platform
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel import scheduling
from agent.kernel.scheduling import Policy, be_nice, come_first, in_root_cgroup, join, stand_back

EPERM = PermissionError(errno.EPERM, "Operation not permitted")
EBUSY = OSError(errno.EBUSY, "Device or resource busy")
ESRCH = ProcessLookupError(errno.ESRCH, "No such process")


class Kernel:
    """What was given to which thread; ``refuses`` by what is asked for, ``gone`` threads that have ended."""

    def __init__(self) -> None:
        self.given: dict[int, object] = {}
        self.nice: int | None = None
        self.refuses: dict[object, OSError] = {}
        self.gone: set[int] = set()

    def set_scheduler(self, thread: int, policy: int, param: os.sched_param) -> None:
        self._give(thread, policy, (policy, param.sched_priority))

    def set_attributes(self, _number: int, thread: int, attributes: bytes) -> None:
        size, policy, flags, nice, priority, *times = struct.unpack("=IIQiIQQQ", attributes)
        assert (size, flags, nice, priority) == (len(attributes), 1, 0, 0)
        self._give(thread, policy, (policy, *times))

    def set_priority(self, which: int, who: int, nice: int) -> None:
        assert (which, who) == (os.PRIO_PROCESS, os.getpid()), "the main thread's, whichever thread asks"
        if "nice" in self.refuses:
            raise self.refuses["nice"]
        self.nice = nice

    def _give(self, thread: int, policy: int, what: object) -> None:
        if thread in self.gone:
            raise ESRCH
        if (refused := self.refuses.get(policy) or self.refuses.get((policy, thread))) is not None:
            raise refused
        self.given[thread] = what


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(os, "sched_setscheduler", kernel.set_scheduler)
    monkeypatch.setattr(os, "setpriority", kernel.set_priority)
    monkeypatch.setattr(scheduling, "_syscall", kernel.set_attributes)
    monkeypatch.setattr(scheduling, "be_nice", be_nice)
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
DEADLINE = scheduling.SCHED_DEADLINE
MAIN = (DEADLINE, 10_000_000, 20_000_000, 20_000_000)
OTHERS = (DEADLINE, 2_000_000, 20_000_000, 20_000_000)


def test_round_robin_is_for_all_threads_since_any_may_have_the_interpreters_lock(kernel: Kernel, other: int) -> None:
    assert come_first() is Policy.ROUND_ROBIN
    assert (kernel.given[os.getpid()], kernel.given[other]) == (ROUND_ROBIN, ROUND_ROBIN)
    assert kernel.nice == scheduling.NICE, "for the times when it stands back"


def test_in_the_root_cgroup_a_nice_value_is_enough(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "in_root_cgroup", lambda: True)
    assert come_first() is Policy.NICE_AMONG_ALL
    assert (kernel.nice, kernel.given) == (scheduling.NICE, {})
    kernel.refuses["nice"] = EPERM
    assert come_first() is Policy.ROUND_ROBIN


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


def test_where_real_time_is_kept_from_cgroups_a_deadline_is_asked_for(kernel: Kernel, other: int) -> None:
    kernel.refuses[os.SCHED_RR] = EPERM
    assert come_first() is Policy.DEADLINE
    assert (kernel.given[os.getpid()], kernel.given[other]) == (MAIN, OTHERS)


def test_all_deadlines_together_leave_something_of_a_single_processor() -> None:
    """The agent has four threads; the kernel promises 95 % at the most."""
    assert scheduling.MAIN_NS + 3 * scheduling.OTHERS_NS <= 0.9 * scheduling.PERIOD_NS


@pytest.mark.parametrize("why", [EPERM, EBUSY], ids=["not all processors are ours", "too much is promised"])
def test_where_that_is_refused_too_a_nice_value_is_left(kernel: Kernel, why: OSError) -> None:
    kernel.refuses |= {os.SCHED_RR: EPERM, DEADLINE: why}
    assert come_first() is Policy.NICE
    assert not kernel.given


def test_without_the_capability_it_stays_as_any_other_program(kernel: Kernel) -> None:
    kernel.refuses |= {os.SCHED_RR: EPERM, DEADLINE: EPERM, "nice": EPERM}
    assert come_first() is Policy.USUAL
    assert be_nice() is Policy.USUAL


def test_a_c_library_without_the_call_is_a_refusal(kernel: Kernel) -> None:
    kernel.refuses[os.SCHED_RR] = OSError(errno.ENOSYS, "Function not implemented")  # musl
    assert come_first() is Policy.DEADLINE


def test_a_machine_whose_number_of_the_call_is_not_known_has_no_deadlines(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.refuses[os.SCHED_RR] = EPERM
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    assert come_first() is Policy.NICE


def test_a_thread_that_has_ended_meanwhile_is_no_trouble(kernel: Kernel, other: int) -> None:
    kernel.gone.add(other)
    assert come_first() is Policy.ROUND_ROBIN
    stand_back()


def test_a_thread_for_which_no_more_can_be_promised_stays_as_it_was(kernel: Kernel, other: int) -> None:
    kernel.refuses |= {os.SCHED_RR: EPERM, (DEADLINE, other): EBUSY}
    assert come_first() is Policy.DEADLINE
    assert other not in kernel.given


def test_standing_back_is_for_all_threads(kernel: Kernel, other: int) -> None:
    come_first()
    stand_back()
    assert (kernel.given[os.getpid()], kernel.given[other]) == ((os.SCHED_OTHER, 0), (os.SCHED_OTHER, 0))


@pytest.mark.parametrize("policy", Policy)
def test_only_a_deadline_has_to_be_asked_for_by_each_new_thread(kernel: Kernel, policy: Policy) -> None:
    thread = threading.Thread(target=join, args=(policy,))
    thread.start()
    thread.join()
    assert kernel.given == ({thread.native_id: OTHERS} if policy is Policy.DEADLINE else {})


def test_the_kernels_refusal_is_heard() -> None:
    """The real call, with a thread that there is none of."""
    with pytest.raises(OSError, match=r".") as refused:
        scheduling._syscall(scheduling.SCHED_SETATTR[platform.machine()], -1, bytes(48))
    assert refused.value.errno in (errno.EINVAL, errno.ESRCH, errno.EPERM, errno.ENOSYS)
