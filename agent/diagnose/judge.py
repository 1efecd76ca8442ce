"""Applies the decision table: the first matching rule is the diagnosis. Raises nothing."""

from __future__ import annotations

from collections.abc import Sequence

from agent.diagnose.case import At, Case
from agent.diagnose.cases import container_cases, creating_case, pod_case, resize_case, sandbox_case, scheduling_case
from agent.diagnose.outlook import outlook
from agent.diagnose.rule import Rule, sentence, words_of
from agent.diagnose.table_admission import ADMISSION
from agent.diagnose.table_ends import ENDS
from agent.diagnose.table_evictions import EVICTIONS
from agent.diagnose.table_images import IMAGES
from agent.diagnose.table_pods import PODS
from agent.diagnose.table_running import RUNNING
from agent.diagnose.table_starts import STARTS
from agent.model import ContainerKind, OomKill, Pod
from agent.model.diagnosis import Category, Diagnosis, NodeFacts
from agent.wording.text import cut, safe

MOST_SAID = 600  # characters of each of a diagnosis' sentences
MOST_MESSAGE = 600
OF_INIT = (Category.CRASH_LOOP, Category.FAILED)  # an init container's are InitContainerError
TABLE: tuple[Rule, ...] = (*EVICTIONS, *ADMISSION, *PODS, *IMAGES, *STARTS, *ENDS, *RUNNING)
BY_PLACE: dict[At, tuple[Rule, ...]] = {at: tuple(rule for rule in TABLE if at in rule.at) for at in At}


def diagnose(pod: Pod, kills: Sequence[OomKill], facts: NodeFacts) -> tuple[Diagnosis, ...]:
    """The problems of a pod: of the whole pod, or else of each failing container, in the spec's order; may be empty.

    ``kills``: known kills, in any order; those of other pods are ignored. A pod that is being deleted gets no diagnosis: its
    containers are meant to end.
    """
    if pod.status.deletion_unix_s is not None:
        return ()
    now = facts.now_unix_s
    late = (make(pod, now) for make in (creating_case, scheduling_case, resize_case))
    stages = (
        [pod_case(pod, now)],
        container_cases(pod, kills, facts),
        [sandbox_case(pod, kills, now)],
        *([case] for case in late),
    )
    for cases in stages:
        found = tuple(one for case in cases if case is not None and (one := _judged(case)) is not None)
        if found:
            return found
    return ()


def _judged(case: Case) -> Diagnosis | None:
    for rule in BY_PLACE[case.at]:
        said = rule.match(case)
        if said is not None:
            return _diagnosis(case, rule, {**words_of(case), **said})
    return None


def _diagnosis(case: Case, rule: Rule, words: dict[str, str]) -> Diagnosis:
    one, category = case.container, rule.at[case.at]
    if one is not None and one.kind is ContainerKind.INIT and category in OF_INIT:
        category = Category.INIT
    return Diagnosis(
        namespace=safe(case.pod.namespace, 253),
        pod=safe(case.pod.name, 253),
        pod_uid=safe(case.pod.uid, 253),
        container=safe(one.name, 253) if one is not None else None,
        kind=one.kind if one is not None else None,
        category=category,
        rule=rule.name,
        transient=rule.transient,
        retry_helps=rule.retry_helps,
        what=cut(sentence(rule.what, words), MOST_SAID),
        message=safe(case.message.strip(), MOST_MESSAGE),
        next_step=outlook(case),
        advice=cut(sentence(rule.advice, words), MOST_SAID),
    )
