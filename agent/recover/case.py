"""What an action decides by, and what it decides: a change of one object, or why not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from agent.model import OomKill
from agent.model.diagnosis import Diagnosis
from agent.model.recover import Bounds
from agent.recover.history import History
from agent.recover.subject import Json, Subject

NONE_PRESSED: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known besides the pod. ``kills``: of the last hour. ``resource``: the custom resource that the pod runs, None: there
    is none, or it could not be read. ``pressed``: containers at their limit by the agents' reports of the last minutes, with the time.
    """

    kills: Sequence[OomKill] = ()
    resource: Json | None = None
    pressed: Mapping[str, float] = field(default_factory=lambda: NONE_PRESSED)


@dataclass(frozen=True, slots=True)
class Case:
    """One failure of one pod."""

    subject: Subject
    diagnosis: Diagnosis
    history: History
    bounds: Bounds
    now_unix_s: float
    evidence: Evidence


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
