"""Which pods and containers a configured rule speaks of: globs and Kubernetes' label selectors. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping

from agent.model import LabelSelector, Operator, Pod, Requirement, Rule, Rules


def disobeyed(pod: Pod, rules: Rules) -> bool:
    """Whether labels and annotations count for nothing in the pod's namespace."""
    return _any_glob(rules.disobeyed_namespaces, pod.namespace)


def rule_matches(rule: Rule, pod: Pod, container: str) -> bool:
    """Whether a configured rule speaks of this container."""
    return (
        (not rule.namespaces or _any_glob(rule.namespaces, pod.namespace))
        and (not rule.containers or _any_glob(rule.containers, container))
        and selector_matches(rule.pods, pod.labels)
    )


def selector_matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether all requirements hold; none at all always do (k8s.io/apimachinery, labels.Requirement.Matches)."""
    return all(_holds(requirement, labels) for requirement in selector.requirements)


def glob_matches(glob: str, text: str) -> bool:
    """Whether a shell-style glob (``*``, ``?``, ``[…]``, ``[!…]``) matches the whole text; case counts."""
    return fnmatch.fnmatchcase(text, glob)


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
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


def _any_glob(globs: Collection[str], text: str) -> bool:
    return any(glob_matches(glob, text) for glob in globs)
