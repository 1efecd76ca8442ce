"""At most one next step for a failing pod, or why there is none. Pure: the same input gives the same answer.

Never without both opt-ins, never in a system namespace, never beyond a bound; the narrowest policy counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from agent.model import OomKill
from agent.model.diagnosis import Diagnosis
from agent.model.recover import ENABLED_LABEL, Action, Attempt, Nothing, Policy, RecoverConfig, Space, State, Step
from agent.recover.actions import fail, grow, image, strategy
from agent.recover.actions import replace as replacing
from agent.recover.actions.request import resource_path
from agent.recover.asks import AskError, actions_asked, policy_asked
from agent.recover.case import NONE_PRESSED, Case, Change, Evidence
from agent.recover.circuits import Circuits, failure_of
from agent.recover.history import HOUR_S, MOST_KEPT, History
from agent.recover.settle import about, may_still_help, shown_by
from agent.recover.subject import Json, Subject
from agent.recover.table import cause, chain, passes
from agent.wording.text import count

SYSTEM = ("kube-", "openshift-")  # prefixes of namespaces that nobody can open
SYSTEM_NAMES = ("kube-system", "kube-public", "kube-node-lease", "openshift", "oomward")
SYSTEM_PRIORITY = "system-"  # of pods that the cluster or a node depends on
MOST_NUMBER = 1 << 16
PASSES = "it passes by itself, or is no failure"
NO_NEWS = ([PASSES], [f"{Action.GROW}: {grow.NO_KILL}"])  # nobody has to do anything

PLANS: Mapping[Action, Callable[[Case], Change | str]] = {
    Action.GROW: grow.plan,
    Action.IMAGE: image.plan,
    Action.FAIL: fail.plan,
    Action.REPLACE: replacing.plan_replace,
    Action.STRATEGY: strategy.plan,
    Action.RETRY: replacing.plan_retry,
}


@dataclass(frozen=True, slots=True)
class World:
    """What is the same for all pods of one look. ``history`` has every step recorded so far."""

    config: RecoverConfig
    history: History
    now_unix_s: float
    circuits: Circuits = field(default_factory=Circuits)

    @property
    def of_now(self) -> World:
        """Without attempts that don't count any more."""
        return replace(self, history=self.history.kept(self.now_unix_s))


def plan(
    subject: Subject,
    space: Space,
    diagnoses: Sequence[Diagnosis],
    world: World,
    kills: Sequence[OomKill] = (),
    resource: Json | None = None,
    pressed: Mapping[str, float] = NONE_PRESSED,
) -> Step | Nothing:
    """For one pod. ``kills``: of the last hour, by the agents' Events; ``resource``, ``pressed``: as in Case."""
    try:
        asked = asked_of(subject, space, world.config)
        if isinstance(asked, Nothing):
            return asked
        if not diagnoses:
            return Nothing("the pod does not fail")
        return _bounded(subject, asked, diagnoses, world.of_now, Evidence(kills, resource, pressed))
    except AskError as error:
        return Nothing(f"an annotation is invalid: {error}", report=True)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pod in an opened namespace asks for, and what is left of that by policy."""

    actions: frozenset[Action]
    policy: Policy


def asked_of(subject: Subject, space: Space, config: RecoverConfig) -> Asked | Nothing:
    """Both opt-ins and the policies of all three levels. Raises AskError."""
    pod = subject.pod
    if is_system(space.name, config) or pod.namespace != space.name:
        return Nothing("system namespaces are never touched")
    if space.labels.get(ENABLED_LABEL) != "true":
        return Nothing("the namespace is not opened for recovery")
    actions = actions_asked(pod.annotations)
    if not actions:
        return Nothing("the pod does not ask for recovery")
    if pod.config_hash is not None or str(subject.spec.get("priorityClassName") or "").startswith(SYSTEM_PRIORITY):
        return Nothing("the node or the cluster depends on this pod", report=True)
    of_space = policy_asked(space.annotations, f" of namespace {space.name}")
    policy = config.policy.narrowed(of_space).narrowed(policy_asked(pod.annotations))
    if not policy.enabled:
        return Nothing("recovery is switched off here (enableSmartRecovery)")
    return Asked(frozenset(one for one in actions if policy.allows(one)), policy)


def needs_resource(subject: Subject, space: Space, diagnoses: Sequence[Diagnosis], world: World) -> bool:
    """Whether the next step may be a strategy, so that the custom resource has to be read first."""
    world = world.of_now
    try:
        asked = asked_of(subject, space, world.config)
    except AskError:
        return False
    if subject.strategy is None or isinstance(asked, Nothing) or Action.STRATEGY not in asked.actions:
        return False
    if not any(Action.STRATEGY in chain(one) for one in diagnoses) or _waits(subject, world) is not None:
        return False
    return len(world.history.counted(subject.key, Action.STRATEGY)) < len(subject.strategy.entries) - 1


def is_system(namespace: str, config: RecoverConfig) -> bool:
    return namespace.startswith(SYSTEM) or namespace in SYSTEM_NAMES or namespace in config.closed


def _bounded(
    subject: Subject,
    asked: Asked,
    diagnoses: Sequence[Diagnosis],
    world: World,
    evidence: Evidence,
) -> Step | Nothing:
    if (waiting := _waits(subject, world)) is not None:
        return waiting
    why: list[str] = []
    news = not any(one.state is State.DONE and one.pod_uid == subject.pod.uid for one in world.history.of(subject.key))
    for diagnosis in diagnoses:
        case = Case(subject, diagnosis, world.history, world.config.bounds, world.now_unix_s, evidence)
        found = _against(case, asked, world.circuits)
        if isinstance(found, Step):
            return found
        where = f", container {diagnosis.container}" if diagnosis.container else ""
        why.append(f"{cause(diagnosis)}{where}: {'; '.join(found)}")
        news = news and found not in NO_NEWS
    return Nothing("; ".join(why), report=news)


def _against(case: Case, asked: Asked, circuits: Circuits) -> Step | list[str]:
    """The first action that applies, or why none does."""
    actions = chain(case.diagnosis)
    if not actions:
        return [PASSES if passes(case.diagnosis) else "nothing here helps"]
    if (open_one := circuits.against(failure_of(case.subject, case.diagnosis))) is not None:
        return [f"the circuit breaker is open: many owners fail at once ({open_one})"]
    if may_still_help(case):
        return ["the last step may still help"]
    why = []
    for action in actions:
        found = _one(case, action, asked)
        if isinstance(found, Step):
            return found
        why.append(f"{action}: {found}")
    return why


def _one(case: Case, action: Action, asked: Asked) -> Step | str:
    """This action against this failure."""
    if action not in asked.actions:
        return "not asked for" if asked.policy.allows(action) else "disabled by a policy"
    done = len(case.history.counted(case.subject.key, action))
    change = PLANS[action](case)
    if isinstance(change, str):
        return change
    if _was_refused(case, action, change):
        return "that was refused for this pod"
    most = min((one for one in (asked.policy.most_attempts, change.of) if one is not None), default=0)
    if done >= most:
        made = "the only attempt was made" if most == 1 else f"all {most} attempts were made"
        return made if most else "no attempt is allowed (maxRecoveryAttempts)"
    before = (one for one in case.history.of(case.subject.key) if one.state is State.DONE)
    failed = frozenset(one.number for one in before if shown_by(one, case.subject) and about(one, case.diagnosis))
    return Step(_attempt(case, action, change), done + 1, most, asked.policy.dry_run, failed)


def _was_refused(case: Case, action: Action, change: Change) -> bool:
    own = case.history.of(case.subject.key)
    refused = [one for one in own if one.state is State.REFUSED and one.pod_uid == case.subject.pod.uid]
    wanted = (action, change.container, change.after, change.left_out)
    return any((one.action, one.container, one.after, one.left_out) == wanted for one in refused)


def _attempt(case: Case, action: Action, change: Change) -> Attempt:
    pod = case.subject.pod
    return Attempt(
        number=case.history.last + 1,
        owner=case.subject.key,
        namespace=pod.namespace,
        pod=pod.name,
        pod_uid=pod.uid,
        action=action,
        container=change.container,
        before=change.before,
        after=change.after,
        cause=cause(case.diagnosis) + (f" in container {change.container}" if _several(case, change) else ""),
        what=change.what,
        at_unix_s=case.now_unix_s,
        left_out=change.left_out,
        resource=resource_of(case.subject),
        fence=change.fence,
    )


def _several(case: Case, change: Change) -> bool:
    """Whether the pod has other containers, so that it has to be said which one."""
    return bool(change.container) and len(case.subject.pod.containers) > 1


def resource_of(subject: Subject) -> str:
    """The path of the custom resource that the pod runs, "" for none: it carries the messages, too."""
    one = subject.strategy
    return (
        ""
        if one is None
        else resource_path(one.group, one.version, subject.pod.namespace, one.plural, subject.owner.name)
    )


def _waits(subject: Subject, world: World) -> Nothing | None:
    """Bounds that hold whatever the action is: one step at a time, back-off, rates, room in the journal."""
    history, bounds, now = world.history, world.config.bounds, world.now_unix_s
    last = history.newest(subject.key)
    if last is not None and last.state is State.INTENDED:
        return Nothing("a step for its owner is under way")
    if last is not None and (due := last.last_unix_s + back_off_s(world, subject.key)) > now:
        return Nothing("the last step for its owner needs time", due)
    of_space = [one.at_unix_s for one in history.since(now - HOUR_S, subject.pod.namespace)]
    if len(of_space) >= bounds.namespace_per_hour:
        why = f"the namespace had its {count(bounds.namespace_per_hour, 'step')} of this hour, and waits"
        return Nothing(why, min(of_space) + HOUR_S, report=True)
    of_all = [one.at_unix_s for one in history.since(now - HOUR_S)]
    if len(of_all) >= bounds.cluster_per_hour:
        why = f"the cluster had its {count(bounds.cluster_per_hour, 'step')} of this hour, and waits"
        return Nothing(why, min(of_all) + HOUR_S, report=True)
    return _no_room(history, subject.pod.namespace)


def _no_room(history: History, namespace: str) -> Nothing | None:
    if len(history.attempts) >= MOST_KEPT:
        return Nothing("the journal is full", report=True)
    return (
        Nothing("the namespace has filled its part of the journal", report=True)
        if history.filled_by(namespace)
        else None
    )


def back_off_s(world: World, owner: str) -> float:
    """Doubled with each attempt for the owner, at most ``most_back_off_s``; up to a quarter more, by owner and attempt."""
    bounds, many = world.config.bounds, len(world.history.of(owner))
    whole: float = min(bounds.most_back_off_s, bounds.back_off_s * 2 ** min(max(0, many - 1), 16))
    digest = sha256(f"{owner}/{many}".encode()).digest()
    return whole * (1 + int.from_bytes(digest[:2]) / MOST_NUMBER / 4)
