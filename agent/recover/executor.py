"""Carries a step out: intent into the journal, requests with preconditions, result into the journal. It decides nothing itself.

``kill -9`` at any point leaves an intent that ``resume`` takes up from the objects as they are.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from agent.kube.api import ApiError, ApiRefusedError, ApiUnreachableError, UnbelievableAnswerError
from agent.model.recover import Action, Attempt, RecoverConfig, State, Step
from agent.recover import messages
from agent.recover.actions import fail, grow, image, strategy
from agent.recover.actions import replace as replacing
from agent.recover.actions.request import Advance, JsonPatch, PatchPod, PatchResource, Request, Result, Seen, signed
from agent.recover.cluster import Cluster
from agent.recover.history import HOUR_S
from agent.recover.journal import Journal
from agent.recover.kill_events import Reports
from agent.recover.still import WELL, still, withdrawn
from agent.recover.subject import Json, step_of
from agent.wording.logs import Once, left_out_text
from agent.wording.text import cut

logger = logging.getLogger("oomward")

MOST_REQUESTS = 8  # of one attempt in one go: the longest has three
GIVE_UP_S = 900.0  # for an intent that can't be carried out
MOST_TRIES = 100  # more than there are in that time: one in an edited journal may be of the future
LATER = (408, 429)  # and 5xx: the same request may succeed later
NOT_IN_TIME = "it could not be carried out in time"
# RBAC's words (k8s.io/apiserver, responsewriters.Forbidden).
NO_RIGHT = re.compile(r' is forbidden: User "[^"]*" cannot ')
RIGHTS = {  # what gives the right of an action
    Action.GROW: "components/recover-grow",
    Action.IMAGE: "components/recover-image",
    Action.FAIL: "components/recover-fail",
    Action.REPLACE: "components/recover-evict or recover-remake",
    Action.RETRY: "components/recover-evict or recover-remake",
    Action.STRATEGY: "a ClusterRole with the label recover.oomward.dev/rights",
}
RACED = (404, 409, 422)  # the object is not as it was: look again
# Of oomward itself, or an object that is not as any API has it: of one step or pod only.
FAULTS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


def fault_text(error: Exception) -> str:
    """Of one of FAULTS: the repr of some has all of what could not be read."""
    return f"{type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True)
class Later:
    """Not now; ``why`` if it is given up."""

    why: str


class Executor:
    """Every request is preceded by a look at the pod and its namespace: what is not asked for any more is not done."""

    def __init__(self, cluster: Cluster, journal: Journal, config: RecoverConfig) -> None:
        self._cluster = cluster
        self._journal = journal
        self._config = config
        self._logged = Once(HOUR_S)
        strategies = config.strategies
        self._advance: Mapping[Action, Advance] = {
            Action.GROW: grow.advance,
            Action.IMAGE: image.advance,
            Action.FAIL: fail.advance,
            Action.REPLACE: replacing.advance,
            Action.RETRY: replacing.advance,
            Action.STRATEGY: lambda a, seen, status: strategy.advance(a, seen, status, strategies=strategies),
        }

    def start(self, step: Step, reports: Reports, now_unix_s: float) -> Attempt:
        """A new step: record its intent, and carry it out. Raises ApiError, JournalError, FullError, NotLeadingError."""
        history = self._journal.change(lambda before: before.with_intent(step.attempt, now_unix_s, step.failed))
        return self._carry_out(history.attempts[-1], reports, now_unix_s)

    def resume(self, attempt: Attempt, reports: Reports, now_unix_s: float) -> Attempt:
        """One whose intent is recorded; this try gets a number of its own, so that what another one sends late does nothing."""
        again = replace(attempt, tries=attempt.tries + 1)
        self._journal.change(lambda before: before.changed(again))
        return self._carry_out(again, reports, now_unix_s)

    def record(self, attempt: Attempt) -> None:
        """A result that was seen."""
        self._journal.change(lambda before: before.changed(attempt))

    def annotate(self, namespace: str, pod: str, uid: str, text: str) -> None:
        """The message on a pod that still asks."""
        found = self._cluster.pod(namespace, pod, uid)
        if found is not None and withdrawn(found, self._cluster.space(namespace), self._config) is None:
            self._say(found, text, lambda patch: PatchPod(namespace, pod, patch))

    def annotate_resource(self, path: str, text: str) -> None:
        """The message on a custom resource."""
        try:
            found = self._cluster.get(path)
        except ApiError as error:
            logger.warning("the status of %s was not written: %s", path, error)
            return
        if found is not None:
            self._say(found, text, lambda patch: PatchResource(path, patch))

    def _say(self, found: Json, text: str, request: Callable[[JsonPatch], Request]) -> None:
        """If nobody has done another step since; a failure does not matter."""
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": found["metadata"].get("uid")},
            *signed(found, step_of(found), text),
        ]
        try:
            self._cluster.send(request(patch))
        except ApiError as error:
            logger.warning("the status of %s was not written: %s", found["metadata"].get("name"), error)

    def _carry_out(self, attempt: Attempt, reports: Reports, now_unix_s: float) -> Attempt:
        result = self._tried(attempt, reports, now_unix_s)
        if isinstance(result, Later):
            if now_unix_s - attempt.at_unix_s < GIVE_UP_S and attempt.tries < MOST_TRIES:
                return attempt
            result = Result(State.DROPPED, result.why)
        ended = replace(
            attempt, state=result.state, result=cut(result.why, messages.MOST_RESULT), changed_unix_s=now_unix_s
        )
        self.record(ended)
        return ended

    def _tried(self, attempt: Attempt, reports: Reports, now_unix_s: float) -> Result | Later:
        """A step that fails, in any way, is given up in time. It keeps no other step waiting."""
        try:
            return self._requests(attempt, reports, now_unix_s)
        except ApiUnreachableError as error:
            logger.warning("step %d for %s has to wait: %s", attempt.number, attempt.owner, error)
            return Later(f"{NOT_IN_TIME}: {error}")
        except FAULTS as error:
            if (more := self._logged.due(f"{attempt.owner}: {fault_text(error)}")) is not None:
                what = f"step {attempt.number} for {attempt.owner}"
                logger.exception("%s has to wait: a fault of oomward%s", what, left_out_text(more))
            return Later(f"{NOT_IN_TIME}: a fault of oomward: {fault_text(error)}")

    def _requests(self, attempt: Attempt, reports: Reports, now_unix_s: float) -> Result | Later:
        """Until there is a result."""
        refused: tuple[Request, str] | None = None
        accepted: Request | None = None
        for _ in range(MOST_REQUESTS):
            try:
                found: Request | Result | Later = self._next(attempt, reports, now_unix_s)
            except (ApiRefusedError, UnbelievableAnswerError) as error:
                return Later(f"{NOT_IN_TIME}: {error}")
            if isinstance(found, Result | Later):
                return found
            if refused is not None and refused[0] == found:  # the objects are as they were: they are not the reason
                return Result(State.REFUSED, refused[1])
            if found == accepted:  # somebody has undone it already; that is not for this attempt to fight about
                return Result(State.DONE)
            answer = self._send(found, attempt.action)
            if isinstance(answer, Result | Later):
                return answer
            refused, accepted = (None, found) if answer is None else ((found, answer), accepted)
        return Later(NOT_IN_TIME)

    def _next(self, attempt: Attempt, reports: Reports, now_unix_s: float) -> Request | Result | Later:
        """By the objects as they are now."""
        seen = self._seen(attempt)
        found = self._advance[attempt.action](attempt, seen, messages.status(attempt))
        if isinstance(found, Result):
            return found
        now = still(attempt, seen, self._cluster.space(attempt.namespace), self._config, reports, now_unix_s)
        if now.withdrawn is not None:
            return Result(State.DROPPED, now.withdrawn)
        return Later(WELL) if now.well else found

    def _send(self, request: Request, action: Action) -> Result | Later | str | None:
        """A text: the object is not as it was, or that is what the API does not accept; None: it succeeded."""
        try:
            self._cluster.send(request)
        except ApiRefusedError as error:
            missing = f"the right of {RIGHTS[action]} is missing: " if NO_RIGHT.search(error.message) else ""
            why = missing + (error.message or str(error))
            if error.status in LATER or error.status >= 500 or not error.explained:
                logger.info("a step has to wait: %s", error)
                return Later(f"{NOT_IN_TIME}: {why}")
            return why if error.status in RACED else Result(State.REFUSED, why)
        return None

    def _seen(self, attempt: Attempt) -> Seen:
        name = replacing.replacement_name(attempt) if attempt.action in (Action.REPLACE, Action.RETRY) else ""
        pod = self._cluster.pod(attempt.namespace, attempt.pod, attempt.pod_uid)
        node = str(pod["spec"].get("nodeName") or "") if pod is not None and attempt.action is Action.GROW else ""
        return Seen(
            pod,
            self._cluster.pod(attempt.namespace, name) if name else None,
            self._cluster.get(attempt.resource) if attempt.action is Action.STRATEGY else None,
            self._cluster.node(node) if node else None,
        )
