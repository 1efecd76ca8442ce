"""Which mode a container should be in: a pure function from pod, container name and rules, with the reason.

Takes the snapshot of a pod and the configured rules, gives Decisions and the labels that can't be obeyed. Precedence:
container annotation, pod label, first configured rule that matches, leave alone. No input or output, no state.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection

from agent.model import (
    MODE_ANNOTATION_PREFIX,
    MODE_LABEL,
    BadWish,
    Decision,
    Mode,
    Pod,
    Rules,
    Source,
)
from agent.modes.matching import disobeyed, rule_matches

MOST_BAD_WISHES = 10
MOST_SHOWN = 80


def decide(pod: Pod, container: str, rules: Rules) -> Decision:
    """The mode of one container by name, whether the pod has such a container or not.

    An annotation or label whose value is no mode is neither obeyed nor passed over: what it covers is left alone, so that
    a typo never makes a less specific setting apply. In disobeyed namespaces only rules count.
    """
    if not disobeyed(pod, rules):
        key = MODE_ANNOTATION_PREFIX + container
        if key in pod.annotations:
            return _spoken(Source.ANNOTATION, key, pod.annotations[key])
        if MODE_LABEL in pod.labels:
            return _spoken(Source.LABEL, MODE_LABEL, pod.labels[MODE_LABEL])
    for rule in rules.rules:
        if rule_matches(rule, pod, container):
            asked = "leave alone" if rule.mode is None else rule.mode.value
            return Decision(rule.mode, Source.RULE, rule.name, f"configured rule {rule.name}: {asked}")
    return Decision(None, Source.NONE, "", "no annotation, label or configured rule requests a mode")


def decide_unnamed(pod: Pod, names: Collection[str], rules: Rules) -> Decision | None:
    """The decision for a container that may be any of ``names``: the first's if all agree on the mode, else None.

    Agreeing on "leave alone" counts; None also when there are no names.
    """
    decisions = [decide(pod, name, rules) for name in names]
    if not decisions or len({decision.mode for decision in decisions}) != 1:
        return None
    return decisions[0]


def candidates(pod: Pod, known_live_ids: Collection[str], limit_bytes: int | None) -> tuple[str, ...]:
    """Which containers of the pod a cgroup may be while the API has not named its id.

    Those that aren't running under another id, narrowed to those with the cgroup's own memory limit if there are any.
    ``limit_bytes`` is the cgroup's memory.max, None for ``max``. The kernel keeps whole pages and rounds down
    (page_counter_memparse), so limits are compared by page. ``max`` narrows nothing: every new cgroup says so until the
    runtime has written the limit, and a container that never asked must not be taken for one without a limit that did.
    """
    free = [c for c in pod.containers if c.container_id is None or c.container_id not in known_live_ids]
    if limit_bytes is None:
        return tuple(c.name for c in free)
    page = limit_bytes // mmap.PAGESIZE
    same = [c for c in free if c.limit_bytes is not None and c.limit_bytes // mmap.PAGESIZE == page]
    return tuple(c.name for c in (same or free))


def bad_wishes(pod: Pod, rules: Rules) -> tuple[BadWish, ...]:
    """Labels and annotations that ask for no mode, or for no container of the pod: the label first, then by key.

    At most MOST_BAD_WISHES are named; one more then says how many others there are. None in disobeyed namespaces.
    """
    if disobeyed(pod, rules):
        return ()
    bad = []
    label = pod.labels.get(MODE_LABEL)
    if label is not None and _mode(label) is None:
        bad.append(BadWish(Source.LABEL, MODE_LABEL, label, None, "is not a mode"))
    names = {container.name for container in pod.containers}
    for key in sorted(pod.annotations):
        if not key.startswith(MODE_ANNOTATION_PREFIX):
            continue
        name, value = key.removeprefix(MODE_ANNOTATION_PREFIX), pod.annotations[key]
        if name not in names:
            bad.append(BadWish(Source.ANNOTATION, key, value, name, "the pod has no container of that name"))
        elif _mode(value) is None:
            bad.append(BadWish(Source.ANNOTATION, key, value, name, "is not a mode"))
    if len(bad) <= MOST_BAD_WISHES:
        return tuple(bad)
    more = len(bad) - MOST_BAD_WISHES
    rest = BadWish(Source.ANNOTATION, MODE_ANNOTATION_PREFIX + "…", "", None, f"and {more} more annotations like these")
    return (*bad[:MOST_BAD_WISHES], rest)


def _spoken(source: Source, key: str, value: str) -> Decision:
    mode = _mode(value)
    if mode is not None:
        return Decision(mode, source, key, f"{source.value} {key}={value}")
    shown = value if len(value) <= MOST_SHOWN else value[: MOST_SHOWN - 1] + "…"
    return Decision(
        None, source, key, f"{source.value} {key} has the value {shown!r}, which is not a mode: it has no effect"
    )


def _mode(value: str) -> Mode | None:
    try:
        return Mode(value.lower())
    except ValueError:
        return None
