"""The kubelet's back-off between restarts of a container, as a pure function, so that it is tested without waiting."""

from __future__ import annotations

from collections.abc import Sequence

FIRST_S = 10.0
MOST_S = 300.0
RESET_AFTER_S = 600.0


def delay_s(runs_s: Sequence[float], factor: float = 1.0) -> float:
    """Seconds until the next start of a container whose runs lasted ``runs_s`` so far, the last one last.

    The first restart comes at once, then 10 s doubling to 300 s; a run of ten minutes forgets all before it
    (pkg/kubelet: MaxContainerBackOff 300 s, backOffPeriod 10 s, reset after twice the maximum). ``factor`` shrinks all.
    """
    crashes = 0
    for lasted_s in reversed(runs_s):
        if lasted_s >= RESET_AFTER_S * factor:
            break
        crashes += 1
    return 0.0 if crashes < 2 else min(MOST_S, FIRST_S * 2.0 ** (crashes - 2)) * factor
