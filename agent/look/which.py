"""Which pods a command is asked about, and in which order it shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from agent.look.survey import Survey
from agent.model import AgentError, CgroupPlace, LabelSelector, Pod
from agent.modes.policy import selector_matches
from agent.settings.selectors import parse_selector
from agent.wording.text import count, safe

SELECTOR_LIMIT = 300


class WrongSelectorError(AgentError):
    """A label selector that can't be read; the text says where."""


@dataclass(frozen=True, slots=True)
class Which:
    """None: any namespace, any labels, the command's own order. ``sort_by``: a column's name."""

    namespace: str | None = None
    selector: LabelSelector | None = None
    sort_by: str | None = None
    typed: str = ""  # the selector

    @classmethod
    def of(cls, namespace: str | None = None, selector: str | None = None, sort_by: str | None = None) -> Which:
        """As typed. Raises WrongSelectorError."""
        if not selector:
            return cls(namespace, None, sort_by)
        try:
            return cls(namespace, parse_selector(selector), sort_by, selector)
        except ValueError as error:
            raise WrongSelectorError(f"--selector: {safe(str(error), SELECTOR_LIMIT)}") from None

    @property
    def where(self) -> str:
        """For the sentence that there is nothing: `` in namespace shop with labels app=web``, or ""."""
        of = f" in namespace {safe(self.namespace)}" if self.namespace is not None else ""
        return of + (f" with labels {safe(self.typed, SELECTOR_LIMIT)}" if self.selector is not None else "")

    def pod(self, pod: Pod) -> bool:
        """Whether it is asked for."""
        return self.of_namespace(pod.namespace) and self.of_labels(pod.labels)

    def of_namespace(self, namespace: str | None) -> bool:
        return self.namespace in (None, namespace)

    def of_labels(self, labels: Mapping[str, str] | None) -> bool:
        """False for labels that are not known (None), if any are asked for."""
        return self.selector is None or (labels is not None and selector_matches(self.selector, labels))


ANY = Which()


def labels_at(found: Survey, place: CgroupPlace) -> Mapping[str, str] | None:
    """Of the pod of a cgroup: by the API, else as the agent knew them last; None: not known."""
    if (pod := found.registry.pod_of(place)) is not None:
        return pod.labels
    kept = next((one.labels for one in found.registry.remembered(place) if one.labels is not None), None)
    return None if kept is None else dict(json.loads(kept))


def uids_of(found: Survey, which: Which) -> frozenset[str]:
    """Of the pods that are asked for, as far as their labels are known."""
    uids = {pod.uid for pod in found.registry.pods.values() if which.pod(pod)}
    for cgroup in found.cgroups.values():
        for kept in found.registry.remembered(cgroup.place):
            if which.of_namespace(kept.namespace) and which.of_labels(labels_at(found, cgroup.place)):
                uids.add(kept.pod_uid)
    return frozenset(uids)


def without_labels(number: int) -> str:
    """The sentence about containers that were left out."""
    return f"left out {count(number, 'container')} of pods whose labels are not known"
