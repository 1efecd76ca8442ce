"""A container's mode by container annotation, pod label, first rule that applies, else none; with the reason. Pure."""

from __future__ import annotations

import fnmatch
import mmap
from collections.abc import Callable, Collection, Iterator, Mapping

from agent.model import (
    MODE_ANNOTATION_PREFIX,
    MODE_LABEL,
    Decision,
    InvalidSetting,
    LabelSelector,
    Mode,
    Operator,
    Pod,
    Requirement,
    Rule,
    Rules,
    Source,
)
from agent.wording.text import count

MOST_INVALID = 10
MOST_SHOWN = 80


def decide(pod: Pod, container: str, rules: Rules) -> Decision:
    """The mode of one container by name, whether the pod has such a container or not.

    An annotation or label with an invalid value leaves its containers alone: a typo never makes a less specific setting apply.
    """
    if not labels_ignored(pod, rules):
        key = MODE_ANNOTATION_PREFIX + container
        if key in pod.annotations:
            return _requested(Source.ANNOTATION, key, pod.annotations[key])
        if MODE_LABEL in pod.labels:
            return _requested(Source.LABEL, MODE_LABEL, pod.labels[MODE_LABEL])
    rule = first_rule(pod, container, rules)
    if rule is None:
        return Decision(None, Source.NONE, "", "no annotation, label or configured rule requests a mode")
    requested = "leave alone" if rule.mode is None else rule.mode.value
    return Decision(rule.mode, Source.RULE, rule.name, f"configured rule {rule.name}: {requested}")


def decide_unnamed(pod: Pod, names: Collection[str], rules: Rules) -> Decision | None:
    """The decision for a container that may be any of ``names``; None without names or if they differ in the mode."""
    decisions = [decide(pod, name, rules) for name in names]
    return decisions[0] if len({decision.mode for decision in decisions}) == 1 else None


def candidates(pod: Pod, known_live_ids: Collection[str], limit_bytes: int | None) -> tuple[str, ...]:
    """Which containers of the pod a cgroup may be while the API has not named its id.

    Those that don't run under another id; if some of them have the cgroup's own memory.max, only those.
    The kernel keeps whole pages and rounds down (page_counter_memparse), so limits are compared by page. ``limit_bytes`` None,
    ``max``, excludes nothing: every new cgroup has it until the runtime has written the limit, and a container without a
    requested mode must not be taken for one without a limit.
    """
    free = [c for c in pod.containers if c.container_id is None or c.container_id not in known_live_ids]
    same = []
    if limit_bytes is not None:
        page = limit_bytes // mmap.PAGESIZE
        same = [c for c in free if c.limit_bytes is not None and c.limit_bytes // mmap.PAGESIZE == page]
    return tuple(c.name for c in (same or free))


def invalid_modes(pod: Pod, rules: Rules) -> tuple[InvalidSetting, ...]:
    """Labels and annotations without a valid mode, or for no container of the pod: the label first, then by key.

    At most MOST_INVALID are named; one more then says how many others there are. None where labels are ignored.
    """
    invalid = list(invalid_annotations(pod, rules, MODE_ANNOTATION_PREFIX, {MODE_ANNOTATION_PREFIX: _mode}))
    label = pod.labels.get(MODE_LABEL, Mode.SINGLE)
    if not labels_ignored(pod, rules) and label.lower() not in list(Mode):
        invalid.insert(0, InvalidSetting(Source.LABEL, MODE_LABEL, label, None, "is not a mode"))
    if (more := len(invalid) - MOST_INVALID) > 0:
        why = f"and {count(more, 'more annotation')} like these"
        invalid[MOST_INVALID:] = [InvalidSetting(Source.ANNOTATION, MODE_ANNOTATION_PREFIX + "…", "", None, why)]
    return tuple(invalid)


def invalid_annotations(
    pod: Pod, rules: Rules, prefix: str, parsers: Mapping[str, Callable[[str], object]]
) -> Iterator[InvalidSetting]:
    """Annotations whose parser, by key, raises ValueError. ``prefix`` has one for keys that end with a container's name."""
    names = {container.name for container in pod.containers}
    for key, value in () if labels_ignored(pod, rules) else sorted(pod.annotations.items()):
        name = key.removeprefix(prefix) if key.startswith(prefix) else None
        if name is not None and name not in names:
            why = "the pod has no container of that name"
            yield InvalidSetting(Source.ANNOTATION, key, value, name, why, unknown_container=True)
            continue
        try:
            parsers.get(key if name is None else prefix, str)(value)
        except ValueError as error:
            yield InvalidSetting(Source.ANNOTATION, key, value, name, str(error))


def _requested(source: Source, key: str, value: str) -> Decision:
    try:
        return Decision(_mode(value), source, key, f"{source.value} {key}={value}")
    except ValueError:
        shown = value if len(value) <= MOST_SHOWN else value[: MOST_SHOWN - 1] + "…"
        why = f"{source.value} {key} has the value {shown!r}, which is not a mode: it has no effect"
        return Decision(None, source, key, why)


def _mode(value: str) -> Mode:
    try:
        return Mode(value.lower())
    except ValueError:
        raise ValueError("is not a mode") from None


def labels_ignored(pod: Pod, rules: Rules) -> bool:
    """Whether labels and annotations are ignored in the pod's namespace."""
    return any_glob(rules.ignore_labels_in, pod.namespace)


def first_rule(pod: Pod, container: str, rules: Rules) -> Rule | None:
    return next((rule for rule in rules.rules if _applies(rule, pod, container)), None)


def _applies(rule: Rule, pod: Pod, container: str) -> bool:
    return (
        (not rule.namespaces or any_glob(rule.namespaces, pod.namespace))
        and (not rule.containers or any_glob(rule.containers, container))
        and selector_matches(rule.pods, pod.labels)
    )


def selector_matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether all requirements are met, as in k8s.io/apimachinery's labels.Requirement.Matches; none at all always are."""
    return all(_met(requirement, labels) for requirement in selector.requirements)


def _met(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    present = requirement.key in labels
    match requirement.operator:
        case Operator.EXISTS:
            return present
        case Operator.DOES_NOT_EXIST:
            return not present
        case Operator.IN:
            return present and labels[requirement.key] in requirement.values
        case Operator.NOT_IN:
            return not present or labels[requirement.key] not in requirement.values


def any_glob(globs: Collection[str], text: str) -> bool:
    """Whether a shell-style glob (``*``, ``?``, ``[…]``, ``[!…]``) matches the whole text, case-sensitive."""
    return any(fnmatch.fnmatchcase(text, glob) for glob in globs)
