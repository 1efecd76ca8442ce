"""How many OOM-killed processes of a container are tolerated, and when it was one too many. Pure.

Precedence as for modes: container annotation, pod annotation, first configured rule that matches. A value that can't be
read tolerates anything, as if nothing had been said, and is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from agent.model import (
    ON_EXCEEDED_ANNOTATION,
    TOLERATE_ANNOTATION,
    TOLERATE_ANNOTATION_PREFIX,
    TOLERATE_SCOPE_ANNOTATION,
    BadWish,
    OnExceeded,
    OomKill,
    Pod,
    Rules,
    Scope,
    Source,
    Tolerance,
)
from agent.modes.matching import disobeyed, rule_matches
from agent.settings.values import one_of, tolerated

OWN_DOING = frozenset({Scope.CONTAINER, Scope.POD})
MOST_BAD = 10
ANY = "any"
SCOPES = ("own", ANY)


def tolerance_of(pod: Pod, container: str, rules: Rules) -> Tolerance | None:
    """What is tolerated of this container; None: anything. In disobeyed namespaces only rules count."""
    spoken = None if disobeyed(pod, rules) else _spoken(pod, container)
    if spoken is not None:
        return spoken
    rule = next((rule for rule in rules.rules if rule_matches(rule, pod, container)), None)
    return None if rule is None else rule.tolerance


def _spoken(pod: Pod, container: str) -> Tolerance | None:
    for key in (TOLERATE_ANNOTATION_PREFIX + container, TOLERATE_ANNOTATION):
        if key not in pod.annotations:
            continue
        try:
            found = tolerated(pod.annotations[key])
            then = pod.annotations.get(ON_EXCEEDED_ANNOTATION, OnExceeded.ARM.value)
            scope = pod.annotations.get(TOLERATE_SCOPE_ANNOTATION, SCOPES[0])
            return replace(
                found,
                on_exceeded=OnExceeded(one_of(*OnExceeded)(then)),
                any_scope=one_of(*SCOPES)(scope) == ANY,
                said_by=f"annotation {key}",
            )
        except ValueError:
            return None
    return None


def bad_tolerances(pod: Pod, rules: Rules) -> tuple[BadWish, ...]:
    """Annotations about tolerance that say nothing that can be done, MOST_BAD at most. None in disobeyed namespaces."""
    if disobeyed(pod, rules):
        return ()
    return tuple(wish for wish, _ in zip(_bad(pod), range(MOST_BAD), strict=False))


def _bad(pod: Pod) -> Iterator[BadWish]:
    names = {container.name for container in pod.containers}
    for key, value in sorted(pod.annotations.items()):
        name = key.removeprefix(TOLERATE_ANNOTATION_PREFIX) if key.startswith(TOLERATE_ANNOTATION_PREFIX) else None
        if name is not None and name not in names:
            yield BadWish(Source.ANNOTATION, key, value, name, "the pod has no container of that name")
            continue
        try:
            if key == TOLERATE_ANNOTATION or name is not None:
                tolerated(value)
            elif key == ON_EXCEEDED_ANNOTATION:
                one_of(*OnExceeded)(value)
            elif key == TOLERATE_SCOPE_ANNOTATION:
                one_of(*SCOPES)(value)
        except ValueError as error:
            yield BadWish(Source.ANNOTATION, key, value, name, str(error))


def killed_of_late(kills: Iterable[OomKill], tolerance: Tolerance, now_unix_s: float) -> int:
    """How many processes count against the tolerance just now."""
    return sum(k.processes for k in _counted(kills, tolerance) if now_unix_s - k.at_unix_s <= tolerance.window_s)


def _counted(kills: Iterable[OomKill], tolerance: Tolerance) -> Iterator[OomKill]:
    return (kill for kill in kills if tolerance.any_scope or kill.scope in OWN_DOING)


def exceeded(kills: Iterable[OomKill], tolerance: Tolerance) -> float | None:
    """When one process too many was killed (unix seconds); None: it has not been. ``kills`` are of one instance of a container.

    Kills that were not the container's own doing don't count, unless the tolerance is of any scope: those of scope
    kubepods and node, and those of which it is not known.
    """
    recent: list[tuple[float, int]] = []
    for kill in sorted(_counted(kills, tolerance), key=lambda kill: kill.at_unix_s):
        recent = [(at, n) for at, n in recent if kill.at_unix_s - at <= tolerance.window_s]
        recent.append((kill.at_unix_s, kill.processes))
        if sum(n for _, n in recent) > tolerance.kills:
            return kill.at_unix_s
    return None
