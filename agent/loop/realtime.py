"""Coming first, within a budget: while the agent needs little, its threads go before the node's workloads; else it stands back.

The write that makes a mode hold has to come before a container's first instruction, also where every processor is busy. What
must come first must not take much: a flood of scrapes or a storm of kills is not to be paid for by the workloads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from agent.kernel import scheduling
from agent.kernel.scheduling import LATE, Policy
from agent.metrics.metrics import Metrics
from agent.wording.logs import Once, log

logger = logging.getLogger("oomward")

WINDOW_S = 4.0
TOO_MUCH = 0.5  # of one processor, within the window: then we stand back …
LITTLE = 0.25  # … until it is less than this
LOOK_EVERY_S = 0.5
SAID_S = 600.0


class RealTime:
    """``wanted`` False: never real-time, a nice value at the most. Others than take() may be called by any thread."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        wanted: bool,
        clock: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._metrics = metrics
        self._wanted = wanted
        self._clock = clock
        self._cpu_s = cpu_s
        self._policy = Policy.USUAL
        self._stands_back = False
        self._used: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()
        self._said = Once(SAID_S)

    def take(self, now_s: float) -> None:
        """Begin. To be called by the main thread, which is the loop's, when the other threads are there."""
        self._used.append((now_s, self._cpu_s()))
        self._policy = scheduling.come_first() if self._wanted else scheduling.be_nice()
        self._metrics.comes_first(self._policy.comes_first)
        if self._policy.comes_first:
            logger.info("scheduling: %s, before the node's workloads", self._policy)
        elif self._wanted:
            logger.warning(
                "scheduling: %s; neither real-time nor deadline scheduling can be had (capability SYS_NICE, kernel): %s.",
                self._policy,
                LATE,
            )

    def joined_by_a_client(self) -> None:
        """The calling thread began after take(), for a client of the status pages. It holds the interpreter's lock as others do."""
        self.look(self._clock())
        if not self._stands_back:
            scheduling.join(self._policy)

    def look(self, now_s: float) -> None:
        """Whether we take too much, or little again. Called wherever there is work; costs nothing most of the time."""
        if not self._policy.real_time or now_s - self._used[-1][0] < LOOK_EVERY_S:
            return
        if self._lock.acquire(blocking=False):
            try:
                self._weigh(now_s)
            finally:
                self._lock.release()

    def _weigh(self, now_s: float) -> None:
        cpu_s = self._cpu_s()
        self._used.append((now_s, cpu_s))
        while len(self._used) > 2 and self._used[1][0] <= now_s - WINDOW_S:
            self._used.popleft()
        share = max((cpu_s - before_s) / max(WINDOW_S, now_s - at_s) for at_s, before_s in self._used)
        if not self._stands_back and share > TOO_MUCH:
            scheduling.stand_back()
            self._turned(stands_back=True)
            if (left_out := self._said.due("stood back")) is not None:
                more = f" ({left_out} times more since this was last said)" if left_out else ""
                why = f"the agent used {share:.0%} of a processor for {WINDOW_S:.0f} s and stands back until it needs less: {LATE}"
                log(logger, logging.WARNING, why + more)
        elif self._stands_back and share < LITTLE:
            self._policy = scheduling.come_first()
            self._turned(stands_back=False)

    def _turned(self, *, stands_back: bool) -> None:
        self._stands_back = stands_back
        self._metrics.comes_first(self._policy.comes_first and not stands_back)
        if stands_back:
            self._metrics.stood_back()
