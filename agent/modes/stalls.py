"""What a pod asks for where a container is at its limit: Events, and what to do about a stall. By container annotation, pod annotation,
first rule that applies. Pure.

An invalid value of any of these annotations asks for nothing in the containers that it is about, also where a rule does: a typo never
makes a less specific setting apply. It is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice

from agent.model import (
    GROW_ON_PRESSURE_ANNOTATION,
    ON_STALL_ANNOTATION,
    ON_STALL_ANNOTATION_PREFIX,
    PRESSURE_EVENTS_ANNOTATION,
    PRESSURE_EVENTS_ANNOTATION_PREFIX,
    STALL_AFTER_ANNOTATION,
    STALL_AFTER_S,
    InvalidSetting,
    OnStall,
    Pod,
    PressureRequest,
    Rules,
    StallPolicy,
)
from agent.modes.policy import MOST_INVALID, first_rule, invalid_annotations, labels_ignored
from agent.settings.values import on_stall, stall_after_s, switch

ABOUT_EVENTS: dict[str, Callable[[str], object]] = {
    PRESSURE_EVENTS_ANNOTATION: switch,
    PRESSURE_EVENTS_ANNOTATION_PREFIX: switch,
}
ABOUT_STALLS: dict[str, Callable[[str], object]] = {
    ON_STALL_ANNOTATION: on_stall,
    ON_STALL_ANNOTATION_PREFIX: on_stall,
    STALL_AFTER_ANNOTATION: stall_after_s,
}


def pressure_request(pod: Pod, container: str, rules: Rules) -> PressureRequest:
    """What is asked for one container by name. Where labels are ignored only rules count."""
    annotations = {} if labels_ignored(pod, rules) else pod.annotations
    events = None
    for key in (PRESSURE_EVENTS_ANNOTATION_PREFIX + container, PRESSURE_EVENTS_ANNOTATION):
        if key in annotations:
            events = _parsed(switch, annotations[key]) is True
            break
    if events is None and annotations.get(GROW_ON_PRESSURE_ANNOTATION) == "true":
        events = True
    for key in (ON_STALL_ANNOTATION_PREFIX + container, ON_STALL_ANNOTATION):
        if key in annotations:
            wanted = _parsed(on_stall, annotations[key])
            after_s = _parsed(stall_after_s, annotations.get(STALL_AFTER_ANNOTATION, str(STALL_AFTER_S)))
            return PressureRequest(events, _policy(wanted, after_s, f"annotation {key}"))
    rule = first_rule(pod, container, rules)
    stall = rule.stall if rule is not None else None
    return PressureRequest(events, None if stall is None or stall.on_stall is OnStall.OFF else stall)


def _policy(wanted: object, after_s: object, said_by: str) -> StallPolicy | None:
    if not isinstance(wanted, OnStall) or wanted is OnStall.OFF or not isinstance(after_s, float):
        return None
    return StallPolicy(wanted, after_s, said_by)


def _parsed(parse: Callable[[str], object], text: str) -> object:
    try:
        return parse(text)
    except ValueError:
        return None


def invalid_stalls(pod: Pod, rules: Rules) -> tuple[InvalidSetting, ...]:
    """Annotations about pressure and stalls with an invalid value, MOST_INVALID at most. None where labels are ignored."""
    found = chain(
        invalid_annotations(pod, rules, PRESSURE_EVENTS_ANNOTATION_PREFIX, ABOUT_EVENTS),
        invalid_annotations(pod, rules, ON_STALL_ANNOTATION_PREFIX, ABOUT_STALLS),
    )
    return tuple(islice(found, MOST_INVALID))
