"""Is every thread alive? The threads' heartbeats, and what /healthz says of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """``last_monotonic_s`` gives the time of the thread's last heartbeat; after ``limit_s`` without one it hangs."""

    thread: str
    last_monotonic_s: Callable[[], float]
    limit_s: float

    def last_unix_s(self) -> float:
        return time.time() - time.monotonic() + self.last_monotonic_s()


def health(beats: Sequence[Heartbeat], now_s: float) -> tuple[bool, str]:
    """Whether no thread hangs, and a line per thread. ``now_s`` is monotonic."""
    ages = [(beat, max(0.0, now_s - beat.last_monotonic_s())) for beat in beats]
    lines = [
        f"{beat.thread}: last sign of life {age_s:.1f} s ago (limit {beat.limit_s:.0f} s)"
        + ("" if age_s < beat.limit_s else ": it hangs, and the kubelet should start the agent anew")
        for beat, age_s in ages
    ]
    return all(age_s < beat.limit_s for beat, age_s in ages), "\n".join(lines)
