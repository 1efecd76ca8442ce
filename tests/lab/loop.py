"""The stand-in kubelet's one thread: runs things later, and learns when processes end.

Containers' PID 1 become children of this process when the runtime's command ends (it is their subreaper), so their exit
codes are ours to read. Everything called from here is called with the lock held.
"""

from __future__ import annotations

import ctypes
import heapq
import itertools
import os
import selectors
import threading
import time
from collections.abc import Callable
from contextlib import suppress

PR_SET_CHILD_SUBREAPER = 36


class Loop:
    """``lock`` guards what the calls touch. ``failure`` is what ended the thread, None while it goes."""

    def __init__(self, name: str) -> None:
        self.lock = threading.RLock()
        self.failure: BaseException | None = None
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._others: set[int] = set()
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._stopping = False
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Call ``what`` then."""
        with self.lock:
            heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), what))
        os.eventfd_write(self._wake, 1)

    def on_end(self, pid: int, what: Callable[[], None]) -> None:
        """Call ``what`` when a process has ended; it is left to be waited for by ``exit_code``."""
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, what)
        os.eventfd_write(self._wake, 1)

    def adopt(self, pid: int) -> None:
        """A process that nobody asks after. It has to be waited for all the same: until then PID 1 of its pid namespace can't end."""
        with self.lock:
            self._others.add(pid)
        self.on_end(pid, self._reap_others)

    def exit_code(self, pid: int) -> int:
        """Wait for a process that has ended or been killed; a signal counts as 128 + its number, as with shells and kubelets."""
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            self._reap_others()
            time.sleep(0.005)

    def _reap_others(self) -> None:
        with self.lock:
            self._others = {pid for pid in self._others if os.waitpid(pid, os.WNOHANG) == (0, 0)}

    def _run(self) -> None:
        try:
            while not self._stopping:
                wait = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
                for key, _ in self._selector.select(wait):
                    self._readable(key)
                self._fire()
        except BaseException as error:
            self.failure = error
            raise

    def _readable(self, key: selectors.SelectorKey) -> None:
        if key.fd == self._wake:
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            return
        self._selector.unregister(key.fileobj)
        os.close(key.fd)
        with self.lock:
            key.data()

    def _fire(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            with self.lock:
                _, _, what = heapq.heappop(self._timers)
                what()

    def close(self) -> None:
        """End the thread and close what it held open; what was to come later never will."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()
        self._reap_others()
