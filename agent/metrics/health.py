"""Is every thread alive? Takes each thread's last sign of life, gives /healthz its answer, a line a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """``last_monotonic_s`` tells when the thread last gave a sign of life; silent for ``limit_s``, it hangs."""

    thread: str
    last_monotonic_s: Callable[[], float]
    limit_s: float


def health(beats: Sequence[Heartbeat], now_s: float) -> tuple[bool, str]:
    """Whether no thread hangs, and how long each has been silent. ``now_s`` is monotonic."""
    good, lines = True, []
    for beat in beats:
        age_s = max(0.0, now_s - beat.last_monotonic_s())
        alive = age_s < beat.limit_s
        good = good and alive
        end = "" if alive else ": it hangs, and the kubelet should start the agent anew"
        lines.append(f"{beat.thread}: last sign of life {age_s:.1f} s ago (limit {beat.limit_s:.0f} s){end}")
    return good, "\n".join(lines)
