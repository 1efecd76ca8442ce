"""Whether a recorded step may still be done, by the objects as they are right before it: what was decided may be minutes old. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.diagnose import diagnose
from agent.model.diagnosis import Diagnosis, NodeFacts
from agent.model.recover import Action, Attempt, Nothing, RecoverConfig, Space
from agent.pods.parse import UnreadablePodError, parse_quantity
from agent.recover.actions.request import GONE, Seen
from agent.recover.asks import AskError, grow_asked, images_asked, optional_inits
from agent.recover.kill_events import Reports, pressure
from agent.recover.planner import Asked, asked_of
from agent.recover.subject import Json, Subject, step_of, subject_of
from agent.recover.table import chain

WELL = "the pod does not fail any more"


def diagnoses_of(subject: Subject, reports: Reports, now_unix_s: float) -> tuple[Diagnosis, ...]:
    """Its failures, and the containers that an agent reported at their limit."""
    pod = subject.pod
    found = diagnose(pod, reports.kills_of(pod), NodeFacts(now_unix_s))
    return (*found, *pressure(subject, reports.pressed_of(pod)))


def withdrawn(
    pod: Json | None, space: Space | None, config: RecoverConfig, attempt: Attempt | None = None
) -> str | None:
    """Why nothing (or not this attempt) may be written for the pod any more; None: it may."""
    if pod is None or space is None:
        return GONE if pod is None else "the namespace was removed meanwhile"
    try:
        subject = subject_of(pod, config.strategies)
        asked = asked_of(subject, space, config)
        named = attempt is None or _names(subject, attempt)
    except (AskError, UnreadablePodError) as error:
        return f"an annotation is invalid: {error}"
    if isinstance(asked, Nothing):
        return asked.why
    return _policy(asked, attempt) or (None if named else "the pod does not name that any more")


def _policy(asked: Asked, attempt: Attempt | None) -> str | None:
    if asked.policy.dry_run:
        return "it is a dry run now"
    if attempt is not None and attempt.action not in asked.actions:
        return f"{attempt.action} is not asked for any more, or disabled"
    return None


def _names(subject: Subject, attempt: Attempt) -> bool:
    """Whether the annotations still have what the attempt uses of them. Raises AskError."""
    notes = subject.pod.annotations
    if attempt.action is Action.IMAGE:
        return attempt.after in images_asked(notes, attempt.container)
    if attempt.action is Action.GROW:
        ask = grow_asked(notes, attempt.container)
        return ask is not None and parse_quantity(attempt.after) <= ask.most_bytes
    return not attempt.left_out or attempt.left_out in optional_inits(notes)


@dataclass(frozen=True, slots=True)
class Still:
    """What the objects of now say: ``withdrawn``: an end; ``well``: the pod may fail again, so it is worth another look."""

    withdrawn: str | None = None
    well: bool = False


def still(
    attempt: Attempt, seen: Seen, space: Space | None, config: RecoverConfig, reports: Reports, now_unix_s: float
) -> Still:
    """For an attempt that has a request to send. A step that has changed something already is finished also if the pod works."""
    if (why := withdrawn(seen.pod, space, config, attempt)) is not None or seen.pod is None:
        made = "" if seen.replacement is None else f" (pod {seen.replacement['metadata']['name']} was made already)"
        return Still(f"{why}{made}")
    if seen.replacement is not None or attempt.wrote(step_of(seen.pod)):
        return Still()
    subject = subject_of(seen.pod, config.strategies)
    return Still(well=not any(attempt.action in chain(one) for one in diagnoses_of(subject, reports, now_unix_s)))
