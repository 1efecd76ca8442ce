"""Real-time priority within a budget, since workloads must not pay for a flood of scrapes or a storm of kills.

The write that puts a mode into force has to come before a container's first instruction, also on busy processors.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agent.kernel import scheduling
from agent.kernel.scheduling import LATE, SchedulingClass
from agent.metrics.metrics import Metrics
from agent.wording.logs import Once, left_out_text, log

logger = logging.getLogger("oomward")

WINDOW_S = 4.0
TOO_MUCH = 0.5  # of one processor, within the window: then it is suspended …
LITTLE = 0.25  # … until it is less than this
CHECK_EVERY_S = 0.5
SAID_S = 600.0


@dataclass(eq=False)
class RealTime:
    """``wanted`` False: never real-time, a nice value at most. check_budget() may be called by any thread."""

    metrics: Metrics
    wanted: bool
    clock: Callable[[], float] = time.monotonic
    cpu_s: Callable[[], float] = time.process_time

    def __post_init__(self) -> None:
        self._class = SchedulingClass.USUAL
        self._suspended = False
        self._used: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()
        self._said = Once(SAID_S)

    def start(self) -> None:
        """Called by the main thread, which is the loop's, when the other threads are running."""
        self._used.append((self.clock(), self.cpu_s()))
        self._class = scheduling.raise_priority() if self.wanted else scheduling.set_nice()
        self.metrics.realtime_priority_active.set(self._class.before_workloads)
        if self._class.before_workloads:
            logger.info("scheduling: %s, before the node's workloads", self._class)
        elif self.wanted:
            why = "real-time scheduling is not available (capability SYS_NICE, kernel)"
            logger.warning("scheduling: %s; %s: %s.", self._class, why, LATE)

    def check_budget(self) -> None:
        """Suspend real-time priority, or resume it. Called wherever there is work; costs nothing most of the time."""
        now_s = self.clock()
        if not self._class.real_time or now_s - self._used[-1][0] < CHECK_EVERY_S:
            return
        if self._lock.acquire(blocking=False):
            try:
                self._check(now_s)
            finally:
                self._lock.release()

    def _check(self, now_s: float) -> None:
        cpu_s = self.cpu_s()
        self._used.append((now_s, cpu_s))
        while len(self._used) > 2 and self._used[1][0] <= now_s - WINDOW_S:
            self._used.popleft()
        share = max((cpu_s - before_s) / max(WINDOW_S, now_s - at_s) for at_s, before_s in self._used)
        if not self._suspended and share > TOO_MUCH:
            scheduling.suspend_real_time()
            self._suspended = True
            self.metrics.realtime_priority_suspensions.inc()
            if (left_out := self._said.due("suspended")) is not None:
                why = f"the agent used {share:.0%} of a processor for {WINDOW_S:.0f} s: its real-time priority is suspended"
                log(logger, logging.WARNING, f"{why} until it needs less: {LATE}{left_out_text(left_out)}")
        elif self._suspended and share < LITTLE:
            self._class = scheduling.raise_priority()
            self._suspended = False
        self.metrics.realtime_priority_active.set(self._class.before_workloads and not self._suspended)
