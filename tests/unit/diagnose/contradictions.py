"""What a diagnosis must never say: checks over its sentences, by what is known of the pod."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.model import OomKill, Pod, Scope
from agent.model.diagnosis import Diagnosis, NodeFacts, Will

RESTARTED = re.compile(r"the kubelet (?:restarts (?!static)|starts it again|starts all)")
NOT_RESTARTED = re.compile(r"not restarted|nothing restarts")
REPLACED = re.compile(r"creates another|replaces the pod")
IN_FORCE = re.compile(r"\b(?:reached its limit of|its limit is|raise the limit from) ([0-9.]+[A-Za-z]*)")
EARLIER = "the earlier limit of"
RAISE = re.compile(r"\braise (?:the limit|its limit|the pod's memory limit)\b")
NO_KILL = re.compile(r"no OOM kill is known")


def contradictions(one: Diagnosis, pod: Pod, kills: Sequence[OomKill], facts: NodeFacts) -> list[str]:
    """What is wrong, in words; none for a sound diagnosis."""
    return [*_of_restarts(one), *_of_owners(one, pod), *_of_limits(one), *_of_memory(one, pod, kills, facts)]


def _of_restarts(one: Diagnosis) -> Iterator[str]:
    text, will = one.next_step.text, one.next_step.will
    promised, denied = RESTARTED.search(text), NOT_RESTARTED.search(text)
    if will is Will.RESTART and (denied or not promised):
        yield f"it will restart, but: {text}"
    if will in (Will.NOTHING, Will.REPLACE) and promised:
        yield f"{will}, but: {text}"
    if will is Will.NOTHING and REPLACED.search(text):
        yield f"nothing happens, but: {text}"
    if promised and "restartPolicy OnFailure to have it" in one.advice:
        yield f"it is restarted, but it needs another policy for that: {one.advice}"


def _of_owners(one: Diagnosis, pod: Pod) -> Iterator[str]:
    controller = pod.status.controller
    if controller is None and pod.config_hash is None:
        said = [text for text in (one.next_step.text, one.advice) if REPLACED.search(text)]
        if said or one.next_step.will is Will.REPLACE:
            yield f"a pod without a controller has a successor: {said or one.next_step.text}"
    if controller is not None and "no controller" in one.next_step.text:
        yield "a pod with a controller has none"


def _of_limits(one: Diagnosis) -> Iterator[str]:
    limits = {text for sentence in (one.what, one.advice) for text in IN_FORCE.findall(sentence)}
    if len(limits) > 1 and EARLIER not in one.advice:
        yield f"two limits: {sorted(limits)}"


def _of_memory(one: Diagnosis, pod: Pod, kills: Sequence[OomKill], facts: NodeFacts) -> Iterator[str]:
    container = pod.container(one.container) if one.container is not None else None
    own = [kill for kill in kills if kill.container == one.container and kill.pod_uid == pod.uid]
    if RAISE.search(one.advice) and "ephemeral" not in one.advice:
        states = (container.status.state, container.status.last) if container is not None else ()
        said = any(state.reason == "OOMKilled" for state in states)
        its_own = any(kill.scope not in (Scope.NODE, Scope.KUBEPODS) for kill in own)
        if not (said or its_own or "starting a container" in one.advice):
            yield f"no kill by its own limit is known, but: {one.advice}"
    if "all pods together" in one.what and RAISE.search(one.advice):
        yield f"the node's memory, but: {one.advice}"
    ended = container.status.state if container is not None and container.status.state.exit_code is not None else None
    ended = ended or (container.status.last if container is not None else None)
    if NO_KILL.search(one.what) and ended is not None and ended.finished_unix_s is not None:
        end = ended.finished_unix_s
        near = [kill for kill in own if end - 30 <= kill.at_unix_s <= end and kill.container_id is None]
        if near and (ended.started_unix_s or 0) <= near[0].at_unix_s:
            yield f"a kill at its end is known, but: {one.what}"
