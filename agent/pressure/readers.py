"""Threads that read what may make them wait, each one container at a time: one that is stuck costs its own container its turn.

A process can make a reader of its command line wait (kernel/command_lines.py), perhaps for as long as it lives.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from math import inf
from queue import SimpleQueue

from agent.model import AgentError
from agent.wording.logs import Once, log

logger = logging.getLogger("oomward")

MOST_THREADS = 6  # started when they are needed, and kept
STUCK_S = 3.0  # after that another takes its place …
MOST_STUCK = 18  # … as long as there are no more of them
MOST_OF_POD = 2  # at once
MOST_BEHIND = 8  # of a pod, that wait for those: all its containers, where its own limit is reached
MOST_WAITING = 128
SAID_S = 3600.0
LATE_S = 0.05
NO_THREAD = "look for what has taken all pids of the node, or of the agent's pod"
Work = Callable[[], None]


class Readers:
    """``submit`` and ``release`` may be called by any thread, and never wait.

    What is submitted begins at ``release``, when the loop has nothing else to do, or LATE_S later: threads that run while it works cost
    both of them a hundred system calls to hand the interpreter over (measured).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s: dict[str, float] = {}  # of the keys in work
        self._queue: SimpleQueue[tuple[str, str, Work]] = SimpleQueue()
        self._lock = threading.Lock()
        self._keys: set[str] = set()  # in work, or waiting
        self._pods: Counter[str] = Counter()
        self._behind: dict[str, deque[tuple[str, str, Work]]] = {}  # by pod
        self._held: list[tuple[str, str, Work]] = []  # until release
        self._held_s = 0.0  # when the first of them was submitted
        self._threads = 0
        self._said = Once(SAID_S)

    def submit(self, pod: str, key: str, work: Work, *, soon: bool = False) -> bool:
        """Whether it is done after the next release, ``soon`` also if the loop does not wait then.

        Not while the same ``key`` is, nor behind many others of ``pod`` or very many.
        """
        with self._lock:
            full = len(self._keys) >= MOST_WAITING or self._pods[pod] >= MOST_OF_POD + MOST_BEHIND
            if full or key in self._keys:
                return False
            self._keys.add(key)
            self._pods[pod] += 1
            if self._pods[pod] > MOST_OF_POD:
                self._behind.setdefault(pod, deque()).append((pod, key, work))
                return True
            self._held_s = -inf if soon else self._held_s if self._held else self._clock()
            self._held.append((pod, key, work))
        return True

    def release(self, *, waits: bool = True) -> None:
        """Begin what was submitted since the last release, if the loop ``waits`` now, or if it is late."""
        if not self._held or not (waits or self._clock() - self._held_s >= LATE_S):
            return
        with self._lock:
            held, self._held = self._held, []
            free = len(self._keys) - sum(map(len, self._behind.values())) - self._threads
            more = max(0, min(free, self._most_threads() - self._threads))
            self._threads += more
        for started in range(more):
            try:
                threading.Thread(target=self._run, name="processes", daemon=True).start()
            except RuntimeError as error:  # no thread can be started
                if not self._reduced(more - started, error):
                    return
                break
        for one in held:
            self._queue.put(one)

    def _reduced(self, missing: int, error: RuntimeError) -> bool:
        """``missing`` threads could not be started. False: there is none at all, and the work that waits is dropped."""
        if self._said.due("start") is not None:
            log(logger, logging.WARNING, f"some containers' processes are not read: {error}; {NO_THREAD}")
        with self._lock:
            self._threads -= missing
            if self._threads:
                return True
            for kept in (self._keys, self._pods, self._behind, self._held):
                kept.clear()
        return False

    def _most_threads(self) -> int:
        late_s = self._clock() - STUCK_S
        return MOST_THREADS + min(MOST_STUCK, sum(began_s < late_s for began_s in self._began_s.values()))

    def _next_of(self, pod: str) -> None:
        behind = self._behind.get(pod)
        if behind:
            self._queue.put(behind.popleft())
            if not behind:
                del self._behind[pod]

    def _run(self) -> None:
        while True:
            pod, key, work = self._queue.get()
            with self._lock:
                self._began_s[key] = self._clock()
            try:
                work()
            except (AgentError, OSError, ValueError, IndexError) as error:  # what cannot be read is left out
                if self._said.due(type(error).__name__) is not None:
                    log(logger, logging.WARNING, f"the processes of a container could not be read: {error!r}")
            finally:
                with self._lock:
                    del self._began_s[key]
                    self._keys.discard(key)
                    self._pods[pod] -= 1
                    if not self._pods[pod]:
                        del self._pods[pod]
                    self._next_of(pod)
                    ends = self._threads > self._most_threads()
                    self._threads -= ends
            if ends:
                return
