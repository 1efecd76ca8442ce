"""Which pods and containers a configured rule applies to: globs and Kubernetes' label selectors. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping

from agent.model import LabelSelector, Operator, Pod, Requirement, Rule, Rules


def disobeyed(pod: Pod, rules: Rules) -> bool:
    """Whether labels and annotations are ignored in the pod's namespace."""
    return any_glob(rules.disobeyed_namespaces, pod.namespace)


def first_rule(pod: Pod, container: str, rules: Rules) -> Rule | None:
    """The first configured rule that applies to this container."""
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
