"""How many OOM-killed processes of a container are tolerated: by container annotation, pod annotation, first rule that applies. Pure.

An invalid value of any of these annotations tolerates any number in the containers that it is about, also where a rule has a tolerance: a
typo never makes a less specific setting apply. It is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

from agent.model import (
    ON_EXCEEDED_ANNOTATION,
    TOLERATE_ANNOTATION,
    TOLERATE_ANNOTATION_PREFIX,
    TOLERATE_SCOPE_ANNOTATION,
    InvalidSetting,
    OnExceeded,
    OomKill,
    Pod,
    Rules,
    Scope,
    Tolerance,
)
from agent.modes.policy import MOST_INVALID, first_rule, invalid_annotations, labels_ignored
from agent.settings.values import one_of, tolerated

OWN_SCOPES = frozenset({Scope.CONTAINER, Scope.POD})  # the container's own doing
on_exceeded, scope = one_of(*OnExceeded), one_of("own", "any")
PARSERS: dict[str, Callable[[str], object]] = {
    TOLERATE_ANNOTATION: tolerated,
    TOLERATE_ANNOTATION_PREFIX: tolerated,
    ON_EXCEEDED_ANNOTATION: on_exceeded,
    TOLERATE_SCOPE_ANNOTATION: scope,
}


def tolerance_of(pod: Pod, container: str, rules: Rules) -> Tolerance | None:
    """The container's tolerance; None: any number is tolerated. Where labels are ignored only rules count."""
    if not labels_ignored(pod, rules):
        for key in (TOLERATE_ANNOTATION_PREFIX + container, TOLERATE_ANNOTATION):
            if key in pod.annotations:
                return _annotated(pod, key)
        if _options(pod) is None:
            return None
    rule = first_rule(pod, container, rules)
    return None if rule is None else rule.tolerance


def _annotated(pod: Pod, key: str) -> Tolerance | None:
    options = _options(pod)
    try:
        found = tolerated(pod.annotations[key])
    except ValueError:
        return None
    return (
        None
        if options is None
        else replace(found, on_exceeded=options[0], any_scope=options[1], said_by=f"annotation {key}")
    )


def _options(pod: Pod) -> tuple[OnExceeded, bool] | None:
    """What happens when it is exceeded, and whether kills of any scope count; None: one of the two annotations is invalid."""
    try:
        return (
            OnExceeded(on_exceeded(pod.annotations.get(ON_EXCEEDED_ANNOTATION, OnExceeded.ARM))),
            scope(pod.annotations.get(TOLERATE_SCOPE_ANNOTATION, "own")) == "any",
        )
    except ValueError:
        return None


def invalid_tolerances(pod: Pod, rules: Rules) -> tuple[InvalidSetting, ...]:
    """Annotations about tolerance with an invalid value, MOST_INVALID at most. None where labels are ignored."""
    return tuple(islice(invalid_annotations(pod, rules, TOLERATE_ANNOTATION_PREFIX, PARSERS), MOST_INVALID))


def killed_recently(kills: Iterable[OomKill], tolerance: Tolerance, now_unix_s: float, now_monotonic_s: float) -> int:
    """How many processes count against the tolerance now. ``kills`` are of this boot."""
    return sum(
        kill.processes
        for kill in _counted(kills, tolerance)
        if (now_unix_s if kill.at_monotonic_s is None else now_monotonic_s) - _at_s(kill) <= tolerance.window_s
    )


def exceeded(kills: Iterable[OomKill], tolerance: Tolerance) -> float | None:
    """When the tolerance was exceeded first, in unix seconds; None: never. ``kills`` are of one instance of a container.

    Those of an older agent, which have the wall clock's time only, count apart.
    """
    recent: list[OomKill] = []
    for kill in sorted(_counted(kills, tolerance), key=lambda kill: (kill.at_monotonic_s is not None, _at_s(kill))):
        recent = [one for one in recent if _within(one, kill, tolerance.window_s)]
        recent.append(kill)
        if sum(one.processes for one in recent) > tolerance.kills:
            return kill.at_unix_s
    return None


def _within(one: OomKill, other: OomKill, seconds: float) -> bool:
    same_clock = (one.at_monotonic_s is None) == (other.at_monotonic_s is None)
    return same_clock and _at_s(other) - _at_s(one) <= seconds


def _at_s(kill: OomKill) -> float:
    """By the clock that nobody sets, where it is known."""
    return kill.at_unix_s if kill.at_monotonic_s is None else kill.at_monotonic_s


def _counted(kills: Iterable[OomKill], tolerance: Tolerance) -> Iterator[OomKill]:
    """Kills of any other scope, or of an unknown one, count only with ``any_scope``."""
    return (kill for kill in kills if tolerance.any_scope or kill.scope in OWN_SCOPES)
