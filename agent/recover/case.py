"""What an action decides by, and what it decides: a change of one object, or why not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.model import OomKill
from agent.model.diagnosis import Diagnosis
from agent.model.recover import Bounds
from agent.recover.history import History
from agent.recover.subject import Json, Subject


@dataclass(frozen=True, slots=True)
class Case:
    """One failure of one pod. ``resource``: the custom resource that the pod runs, None: there is none, or it could not be read."""

    subject: Subject
    diagnosis: Diagnosis
    history: History
    bounds: Bounds
    kills: Sequence[OomKill]
    now_unix_s: float
    resource: Json | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The fields of an Attempt that the action decides. ``of``: how many such changes there can be, None: the policy's bound."""

    what: str
    container: str = ""
    before: str = ""
    after: str = ""
    left_out: str = ""
    fence: str = ""
    of: int | None = None
