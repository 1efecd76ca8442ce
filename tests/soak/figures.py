"""Arithmetic of the soak's measurements, without a clock: what a starved machine took away, percentiles, growth."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

Points = Sequence[tuple[float, float]]


class Lost:
    """Time in which the machine wanted to run and did not, since any moment: ``points`` are pairs of CLOCK_MONOTONIC and seconds."""

    def __init__(self, points: Points) -> None:
        self._points = points

    @property
    def total_s(self) -> float:
        """All of it."""
        return self._points[-1][1] - self._points[0][1] if self._points else 0.0

    @property
    def worst_s(self) -> float:
        """The most between two points that follow one another."""
        return max((after - before for (_, before), (_, after) in pairwise(self._points)), default=0.0)

    def within_s(self, since_s: float, until_s: float) -> float:
        """Of this time."""
        return max(0.0, value_at(self._points, until_s) - value_at(self._points, since_s))


def by_lateness(late: Points) -> Lost:
    """``late``: when, and by how much, a thread that comes before all others of the machine ran late."""
    points, total_s = [], 0.0
    for at_s, by_s in late:
        points += [(at_s - by_s, total_s), (at_s, total_s := total_s + by_s)]
    return Lost(points)


def by_processor(used: Points, idle: Points) -> Lost:
    """``used``: processor time that the host gave to the machine; ``idle``: time for which that had nothing to do; both since any moment.

    A machine that gets a fifth of a processor is not late, but slow.
    """
    within = [(at_s, seconds) for at_s, seconds in used if idle and idle[0][0] <= at_s <= idle[-1][0]]
    return Lost([(at_s, at_s - seconds - value_at(idle, at_s)) for at_s, seconds in within])


def value_at(points: Points, time_s: float) -> float:
    """By the line between the points beside it; before the first and after the last as there; 0 for no points."""
    if not points:
        return 0.0
    after = bisect_left(points, (time_s, -inf))
    if after in (0, len(points)):
        return points[min(after, len(points) - 1)][1]
    (since_s, before), (until_s, value) = points[after - 1], points[after]
    return before + (value - before) * (time_s - since_s) / (until_s - since_s)


@dataclass(frozen=True, slots=True)
class Spread:
    """Of a number of measurements, in their unit."""

    count: int
    median: float
    p99: float
    most: float

    def __str__(self) -> str:
        return f"{self.count} measured, median {self.median:.3f}, p99 {self.p99:.3f}, most {self.most:.3f}"


def spread(values: Sequence[float]) -> Spread:
    """The nearest-rank percentiles; zeros for no values."""
    if not values:
        return Spread(0, 0.0, 0.0, 0.0)
    ordered = sorted(values)
    return Spread(
        len(ordered), ordered[(len(ordered) - 1) // 2], ordered[-(-99 * len(ordered) // 100) - 1], ordered[-1]
    )


def growth(samples: Sequence[tuple[float, float]], warm_up: float = 1 / 3) -> float:
    """By how much a value grew after the warm-up, a share of the time, by the least-squares line through (time, value)."""
    if not samples:
        return 0.0
    first_s, last_s = samples[0][0], samples[-1][0]
    rest = [(at_s, value) for at_s, value in samples if at_s >= first_s + warm_up * (last_s - first_s)]
    mean_s = sum(at_s for at_s, _ in rest) / len(rest)
    mean = sum(value for _, value in rest) / len(rest)
    square = sum((at_s - mean_s) ** 2 for at_s, _ in rest)
    slope = sum((at_s - mean_s) * (value - mean) for at_s, value in rest) / square if square else 0.0
    return slope * (rest[-1][0] - rest[0][0])
