"""The threads that may have to wait: one container that makes them wait costs no other its turn, and the caller never waits."""

from __future__ import annotations

import logging
import threading
from functools import partial

import pytest

from agent.model import AgentError
from agent.pressure.readers import (
    LATE_S,
    MOST_BEHIND,
    MOST_OF_POD,
    MOST_STUCK,
    MOST_THREADS,
    MOST_WAITING,
    STUCK_S,
    Readers,
    Work,
)
from tests.unit.patience import PATIENCE_S


class Released(Readers):
    """Begins at once what is submitted."""

    def submit(self, pod: str, key: str, work: Work, *, soon: bool = False) -> bool:
        taken = super().submit(pod, key, work, soon=soon)
        self.release()
        return taken


def wait_for(event: threading.Event) -> None:
    event.wait(PATIENCE_S)


def test_a_container_that_makes_its_reader_wait_delays_no_other() -> None:
    readers, stuck, done = Released(), threading.Event(), threading.Event()
    for number in range(MOST_OF_POD + MOST_BEHIND):
        assert readers.submit("evil", f"evil {number}", partial(wait_for, stuck))
    assert not readers.submit("evil", "evil 99", done.set)
    assert readers.submit("good", "good", done.set)
    assert done.wait(PATIENCE_S)
    stuck.set()


def test_the_same_container_is_not_read_twice_at_once() -> None:
    readers, stuck = Released(), threading.Event()
    assert readers.submit("pod", "a", partial(wait_for, stuck))
    assert not readers.submit("pod", "a", stuck.set)
    stuck.set()


def test_threads_and_what_waits_are_bounded() -> None:
    readers, stuck = Released(), threading.Event()
    before = threading.active_count()
    taken = sum(readers.submit(f"pod {n}", str(n), partial(wait_for, stuck)) for n in range(3 * MOST_WAITING))
    assert taken == MOST_WAITING
    assert threading.active_count() <= before + MOST_THREADS
    stuck.set()


def test_what_is_submitted_begins_when_the_loop_waits_or_when_it_is_late_though_the_loop_never_waits() -> None:
    now = [100.0]
    readers, first, second = Readers(lambda: now[0]), threading.Event(), threading.Event()
    before = threading.active_count()
    readers.submit("pod", "a", first.set)
    now[0] += LATE_S / 2
    readers.submit("pod", "b", second.set)
    readers.release(waits=False)
    assert threading.active_count() == before, "the loop works: nobody reads"
    now[0] += LATE_S / 2
    readers.release(waits=False)
    assert first.wait(PATIENCE_S)
    assert second.wait(PATIENCE_S)
    third = threading.Event()
    readers.submit("pod", "d", third.set, soon=True)
    readers.release(waits=False)
    assert third.wait(PATIENCE_S), "who was killed is soon gone"
    third.clear()
    readers.submit("pod", "c", third.set)
    readers.release(waits=True)
    assert third.wait(PATIENCE_S)


@pytest.mark.parametrize("error", [AgentError("no"), OSError(5, "no"), ValueError("no"), IndexError("no")])
def test_what_cannot_be_read_is_logged_and_the_next_is_read(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    readers, done = Released(), threading.Event()

    def fail() -> None:
        raise error

    caplog.set_level(logging.WARNING, "oomward")
    logging.getLogger("oomward").propagate = True
    readers.submit("pod", "a", fail)
    readers.submit("pod", "b", done.set)
    assert done.wait(PATIENCE_S)


def test_pods_that_make_all_threads_wait_for_long_cost_the_others_no_turn() -> None:
    now_s = [100.0]
    readers, stuck, done = Released(lambda: now_s[0]), threading.Event(), threading.Event()
    working = threading.Semaphore(0)

    def wait() -> None:
        working.release()
        wait_for(stuck)

    for number in range(MOST_THREADS):
        assert readers.submit(f"evil {number // MOST_OF_POD}", f"evil {number}", wait)
    assert all(working.acquire(timeout=PATIENCE_S) for _ in range(MOST_THREADS))
    assert readers.submit("good", "good", done.set)
    assert readers._threads == MOST_THREADS
    now_s[0] += STUCK_S + 0.1
    assert readers.submit("other", "other", lambda: None)
    assert readers._threads == MOST_THREADS + 2, "one for each that waits"
    assert done.wait(PATIENCE_S)
    for number in range(MOST_THREADS, 2 * MOST_WAITING):
        now_s[0] += STUCK_S + 0.1
        readers.submit(f"evil {number // MOST_OF_POD}", f"evil {number}", partial(wait_for, stuck))
    assert readers._threads <= MOST_THREADS + MOST_STUCK
    stuck.set()


def test_all_containers_of_a_pod_are_read_two_at_a_time() -> None:
    readers, lock, done = Released(), threading.Lock(), threading.Semaphore(0)
    now, most = [0], [0]

    def look() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        with lock:
            now[0] -= 1
        done.release()

    assert all(readers.submit("pod", str(number), look) for number in range(6))
    assert all(done.acquire(timeout=PATIENCE_S) for _ in range(6))
    assert most[0] <= MOST_OF_POD


def test_nothing_begins_while_the_loop_works() -> None:
    readers, done = Readers(), threading.Event()
    before = threading.active_count()
    readers.submit("pod", "a", done.set)
    assert threading.active_count() == before
    assert not done.wait(0.0)
    readers.release()
    assert done.wait(PATIENCE_S)


def no_thread(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_where_no_thread_can_be_started_the_reading_is_not_done_and_the_next_one_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    readers, read, again = Released(), threading.Event(), threading.Event()
    caplog.set_level(logging.WARNING, "oomward")
    logging.getLogger("oomward").propagate = True
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(threading.Thread, "start", no_thread)
        for number in range(MOST_OF_POD + MOST_BEHIND):
            assert readers.submit("pod", f"a {number}", read.set), "none of those before holds a place"
    (said,) = caplog.messages
    assert "can't start new thread" in said
    assert readers.submit("pod", "a 0", again.set)
    assert again.wait(PATIENCE_S)
    assert not read.is_set()


def test_where_no_more_threads_can_be_started_those_that_are_there_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    readers, busy, read = Released(), threading.Event(), threading.Event()
    assert readers.submit("pod", "a", partial(wait_for, busy))
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(threading.Thread, "start", no_thread)
        assert readers.submit("other", "b", read.set)
    assert readers._threads == 1
    busy.set()
    assert read.wait(PATIENCE_S)
