"""One look at all pods: take up what is unfinished, see what has helped, and start at most one step per owner.

All of it is repeated from the objects and the journal; nothing that must not be lost is kept here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from agent.kube.api import ApiError, ApiRefusedError, UnbelievableAnswerError
from agent.metrics.recover import RecoverMetrics
from agent.model.diagnosis import Diagnosis
from agent.model.recover import UNSETTLED, Attempt, Nothing, RecoverConfig, Space, State, Step
from agent.pods.parse import UnreadablePodError
from agent.recover import messages
from agent.recover.actions.request import GONE
from agent.recover.asks import AskError
from agent.recover.circuits import Circuits, failure_of
from agent.recover.cluster import Cluster, NotLeadingError
from agent.recover.executor import FAULTS, Executor, fault_text
from agent.recover.history import HOUR_S, FullError, History
from agent.recover.journal import Journal, JournalError
from agent.recover.kill_events import Reports, reports_of
from agent.recover.planner import World, asked_of, needs_resource, plan, resource_of
from agent.recover.reporter import Reporter
from agent.recover.settle import GIVE_UP_S, ON_THE_POD, settled
from agent.recover.still import diagnoses_of
from agent.recover.subject import Json, Subject, space_of, subject_of
from agent.wording.logs import Once, left_out_text
from agent.wording.text import cut

RESUME_S = 30.0  # between two tries of a step that has to wait, for example for a disruption budget
Objects = Callable[[], Sequence[Json]]
Failing = tuple[Subject, Space, tuple[Diagnosis, ...]]
logger = logging.getLogger("oomward")


class Controller:
    """``pods``, ``spaces`` and ``events`` give what the watches know; ``leads``: whether this replica leads now."""

    def __init__(
        self,
        config: RecoverConfig,
        pods: Objects,
        spaces: Objects,
        events: Objects,
        cluster: Cluster,
        journal: Journal,
        reporter: Reporter,
        metrics: RecoverMetrics,
        leads: Callable[[], bool],
    ) -> None:
        self._config = config
        self._pods, self._spaces, self._events = pods, spaces, events
        self._cluster, self._journal = cluster, journal
        self._executor = Executor(cluster, journal, config)
        self._reporter, self._metrics, self._leads = reporter, metrics, leads
        self._circuits = Circuits()
        self._resume_at: dict[int, float] = {}
        self._led = False
        self._unread: dict[str, str] = {}  # pods that can't be read, and why: each is logged once
        self._faults = Once(HOUR_S)

    def look(self, now_unix_s: float) -> None:
        """Once. What the API refuses or does not answer is tried again at the next look."""
        leads = self._leads()
        self._metrics.leading.set(leads)
        if leads and not self._led:
            self._journal.forget()  # others may have written it
        self._led = leads
        if not leads:
            self._metrics.circuits_open.set(0)
            return
        try:
            self._look(now_unix_s)
        except NotLeadingError as error:
            logger.warning("%s", error)
        except (ApiError, JournalError, FullError) as error:
            self._journal.forget()
            self._metrics.errors.inc()
            logger.warning("recovery has to wait: %s", error)

    def _look(self, now: float) -> None:
        subjects, reports = self._subjects(), reports_of(self._events(), now)
        for attempt in self._journal.read().in_state(*UNSETTLED):
            with self._alone(f"step {attempt.number} for {attempt.owner}"):
                self._go_on(attempt, subjects, reports, now)
        for attempt in self._journal.read().unsaid(now):
            with self._alone(f"the result of step {attempt.number} for {attempt.owner}"):
                self._ended(attempt, subjects, now)
        failing = self._failing(subjects, reports, now)
        history = self._journal.read()
        failures = [
            failure_of(one, diagnosis) for one, _, found in failing if fresh(one, history, now) for diagnosis in found
        ]
        self._circuits = self._circuits.after(failures, self._config.bounds.breaker_owners, now)
        self._metrics.circuits_open.set(len(self._circuits.open))
        for subject, space, diagnoses in in_turn(failing, history, now):
            with self._alone(f"pod {subject.pod.namespace}/{subject.pod.name}"):
                self._one(subject, space, diagnoses, reports, now)

    def _go_on(self, attempt: Attempt, subjects: Sequence[Subject], reports: Reports, now: float) -> None:
        """Take an intent up again, or see what a step has done."""
        if attempt.state is State.DONE:
            if (known := self._settled(attempt, subjects, now)) is not None:
                self._executor.record(known)
                self._ended(known, subjects, now)
        elif self._resume_at.get(attempt.number, 0.0) <= now:
            self._resume_at[attempt.number] = now + RESUME_S
            self._ended(self._executor.resume(attempt, reports, now), subjects, now)

    def _settled(self, attempt: Attempt, subjects: Sequence[Subject], now: float) -> Attempt | None:
        """The attempt with its result; None: it is not known yet. One that can't be judged is given up like any other."""
        try:
            return settled(attempt, subjects, self._config.bounds, now)
        except FAULTS as error:
            if now - attempt.last_unix_s < GIVE_UP_S:
                raise
            why = f"its effect can't be judged, a fault of oomward: {fault_text(error)}"
            return replace(attempt, state=State.FAILED, result=cut(why, messages.MOST_RESULT), changed_unix_s=now)

    def _subjects(self) -> list[Subject]:
        """In a fixed order, those that can't be read left out."""
        found, unread = [], dict[str, str]()
        for raw in self._pods():
            name = f"{raw['metadata'].get('namespace')}/{raw['metadata'].get('name')}"
            try:
                found.append(subject_of(raw, self._config.strategies))
            except UnreadablePodError as error:
                unread[name] = str(error)
                if self._unread.get(name) != str(error):
                    logger.warning("pod %s can't be read: %s", name, error)
        self._unread = unread
        return sorted(found, key=lambda one: (one.pod.namespace, one.pod.name))

    def _failing(self, subjects: Sequence[Subject], reports: Reports, now: float) -> list[Failing]:
        """Pods that ask and fail, in namespaces that are opened."""
        spaces = {one.name: one for one in map(space_of, self._spaces())}
        found = []
        for one in subjects:
            space = spaces.get(one.pod.namespace)
            if space is None:
                continue
            with self._alone(f"pod {one.pod.namespace}/{one.pod.name}"):
                if asks(one, space, self._config) and (diagnoses := diagnoses_of(one, reports, now)):
                    found.append((one, space, diagnoses))
        return found

    def _one(
        self, subject: Subject, space: Space, diagnoses: tuple[Diagnosis, ...], reports: Reports, now: float
    ) -> None:
        found = self._plan(subject, space, diagnoses, reports, now)
        if isinstance(found, Step) and not found.dry_run:
            found = self._plan_again(subject, reports, now)
        if isinstance(found, Step) and not found.dry_run:
            self._start(found, subject, reports, now)
        elif isinstance(found, Step):
            self._reporter.planned(found, now)
        elif found.report:
            self._reporter.not_done(subject, found, now)

    def _plan(
        self, subject: Subject, space: Space, diagnoses: tuple[Diagnosis, ...], reports: Reports, now: float
    ) -> Step | Nothing:
        world = World(self._config, self._journal.read(), now, self._circuits)
        kills, resource = reports.kills_of(subject.pod), self._resource(subject, space, diagnoses, world)
        return plan(subject, space, diagnoses, world, kills, resource, reports.pressed_of(subject.pod))

    def _plan_again(self, subject: Subject, reports: Reports, now: float) -> Step | Nothing:
        """From the objects themselves: a watch may show what was true minutes ago."""
        pod = subject.pod
        raw, space = self._cluster.pod(pod.namespace, pod.name, pod.uid), self._cluster.space(pod.namespace)
        if raw is None or space is None:
            return Nothing(GONE)
        of_now = subject_of(raw, self._config.strategies)
        return self._plan(of_now, space, diagnoses_of(of_now, reports, now), reports, now)

    def _start(self, step: Step, subject: Subject, reports: Reports, now: float) -> None:
        attempt = self._executor.start(step, reports, now)
        self._reporter.started(step, now)
        for one in self._journal.read().attempts:
            if one.number in step.failed:
                self._ended(one, (), now)
        self._ended(attempt, (subject,), now)

    def _resource(self, subject: Subject, space: Space, diagnoses: Sequence[Diagnosis], world: World) -> Json | None:
        """The custom resource, if the next step may change it."""
        if not needs_resource(subject, space, diagnoses, world):
            return None
        try:
            return self._cluster.get(resource_of(subject))
        except ApiError as error:
            logger.warning("%s %s can't be read: %s", subject.owner.kind, subject.owner.name, error)
            return None

    def _ended(self, attempt: Attempt, subjects: Sequence[Subject], now: float) -> None:
        """Say so, if it has a result: as an Event, in a metric, and on the pod and the resource. After a kill in between, again."""
        if attempt.state is State.INTENDED:
            self._resume_at[attempt.number] = now + RESUME_S
            return
        self._resume_at.pop(attempt.number, None)
        if attempt.state is State.DONE:
            return
        text = messages.ended(attempt, self._journal.read().of(attempt.owner))
        self._reporter.ended(attempt, text, now)
        theirs = [
            one.pod
            for one in subjects
            if one.key == attempt.owner and (one.pod.uid == attempt.pod_uid or not _on_the_pod(attempt))
        ]
        for pod in theirs[-1:]:
            self._executor.annotate(pod.namespace, pod.name, pod.uid, text)
        if attempt.resource:
            self._executor.annotate_resource(attempt.resource, text)
        self._executor.record(replace(attempt, said=True))

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """One pod's or step's part of a look: what the API refuses about it, or a fault of ours, does not keep the others waiting."""
        try:
            yield
        except FullError:
            raise
        except (ApiRefusedError, UnbelievableAnswerError, UnreadablePodError) as error:
            logger.warning("%s has to wait: %s", what, error)
        except FAULTS as error:
            if (more := self._faults.due(f"{what}: {fault_text(error)}")) is not None:
                logger.exception("%s was left out: a fault of oomward%s", what, left_out_text(more))


def asks(subject: Subject, space: Space, config: RecoverConfig) -> bool:
    """Whether it has both opt-ins, and nothing forbids all; or the reason why not is to be reported."""
    try:
        asked = asked_of(subject, space, config)
    except AskError:
        return True
    return not isinstance(asked, Nothing) or asked.report


def in_turn(failing: Sequence[Failing], history: History, now_unix_s: float) -> list[Failing]:
    """Next is a pod of the namespace with the fewest steps in the last hour: the cluster's steps are for all of them."""
    steps = Counter(one.namespace for one in history.since(now_unix_s - HOUR_S))
    turns: list[tuple[int, Failing]] = []
    for one in failing:
        name = one[0].pod.namespace
        turns.append((steps[name], one))
        steps[name] += 1
    return [one for _, one in sorted(turns, key=lambda turn: turn[0])]


def fresh(subject: Subject, history: History, now_unix_s: float) -> bool:
    """Whether its failure is news: not one that was given up long ago, which says nothing about an outage."""
    last = history.newest(subject.key)
    return last is None or last.at_unix_s > now_unix_s - HOUR_S


def _on_the_pod(attempt: Attempt) -> bool:
    return attempt.action in ON_THE_POD
