"""The ledger's decisions, decided again by the current rules: those may have changed, and a start without the API knows no pod."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent.model import Cgroup, KeptDecision, Pod, Rules, Source
from agent.modes.desired import DesiredMode
from agent.modes.policy import decide, labels_ignored
from agent.modes.tolerance import tolerance_of

MOST_LABELS = 4096  # characters kept of a pod: anybody may have more of them, and few need them


def kept_decisions(pod: Pod, desired: Iterable[tuple[Cgroup, DesiredMode]]) -> list[KeptDecision]:
    """Of those with a name and a mode."""
    of_pod, labels = (pod.uid, pod.cgroup_key, pod.namespace, pod.name), labels_text(pod.labels)
    return [
        KeptDecision(
            *of_pod,
            one.container,
            cgroup.place.container_id,
            one.decision.mode,
            one.decision.rule,
            one.tolerance,
            one.decision.source,
            labels,
        )
        for cgroup, one in desired
        if one.decision.mode is not None and one.container is not None
    ]


def labels_text(labels: Mapping[str, str]) -> str | None:
    """To be kept with a decision; None: they are too long, and the decision stays what it was."""
    text = json.dumps(dict(labels), sort_keys=True)
    return text if len(text) <= MOST_LABELS else None


def decided_again(kept: KeptDecision, rules: Rules) -> KeptDecision:
    """What a label or an annotation requested stays, unless the rules don't let it count; everything else is decided by the rules."""
    if kept.labels is None or kept.source is Source.NONE:
        return kept
    pod = Pod(kept.pod_uid, kept.namespace, kept.pod, "", json.loads(kept.labels))
    ignored = labels_ignored(pod, rules)
    if not (kept.source is Source.ANNOTATION and not ignored):
        decision = decide(pod, kept.container, rules)
        kept = replace(kept, mode=decision.mode, rule=decision.rule)
    if ignored or kept.tolerance is None or not kept.tolerance.said_by.startswith("annotation "):
        kept = replace(kept, tolerance=tolerance_of(pod, kept.container, rules))
    return kept
