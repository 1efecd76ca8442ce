"""Recovery of failing pods: what may be done, what was done, and what is to be done next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

ENABLED_LABEL = "recover.oomward.dev/enabled"  # of a namespace
RECOVER_ANNOTATION = "oomward.dev/recover"  # "true", or a list of actions
GROW_ANNOTATION = "oomward.dev/grow"  # step/maximum: 25%/4Gi, 512Mi/4Gi
GROW_ANNOTATION_PREFIX = "recover.oomward.dev/grow."  # the same for one container
IMAGES_ANNOTATION_PREFIX = "recover.oomward.dev/images."  # the next images of a container, separated by commas
OPTIONAL_INIT_ANNOTATION = "recover.oomward.dev/optional-init"  # names of init containers, separated by commas
POLICY_ANNOTATION = "recover.oomward.dev/policy"  # JSON, of a namespace or pod
STATUS_ANNOTATION = "recover.oomward.dev/status"  # written by the controller: the message
STEP_ANNOTATION = "recover.oomward.dev/step"  # written by the controller: the last step, so that none happens twice
MOST_TRIES_DIGITS = 9  # of a step annotation, which whoever may edit the pod can write
REPLACES_ANNOTATION = "recover.oomward.dev/replaces"  # written by the controller: the pod that this one was made from


class Action(StrEnum):
    """What a recovery does; the most harmless first."""

    GROW = "grow"
    IMAGE = "image"
    FAIL = "fail"
    REPLACE = "replace"
    STRATEGY = "strategy"
    RETRY = "retry"


class Said(StrEnum):
    """Reasons of the controller's Events, all on the pod."""

    PLANNED = "RecoveryPlanned"  # a dry run
    STARTED = "RecoveryStarted"
    SUCCEEDED = "RecoverySucceeded"
    FAILED = "RecoveryFailed"
    NOT_DONE = "RecoveryNotDone"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed at one level: cluster, namespace or pod. The values of the class restrict nothing.

    ``most_attempts`` is per owner and action, None: not restricted here.
    """

    enabled: bool = True
    build_fallback: bool = True
    most_attempts: int | None = None
    disabled: frozenset[Action] = frozenset()
    dry_run: bool = False

    def narrowed(self, other: Policy) -> Policy:
        """Both at once: what either forbids is forbidden."""
        most = [one for one in (self.most_attempts, other.most_attempts) if one is not None]
        return Policy(
            enabled=self.enabled and other.enabled,
            build_fallback=self.build_fallback and other.build_fallback,
            most_attempts=min(most, default=None),
            disabled=self.disabled | other.disabled,
            dry_run=self.dry_run or other.dry_run,
        )

    def allows(self, action: Action) -> bool:
        fallback = self.build_fallback or action is not Action.STRATEGY
        return self.enabled and fallback and action not in self.disabled


DEFAULT_POLICY = Policy(most_attempts=3, dry_run=True)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of the whole cluster; no namespace or pod changes them. ``*_per_hour``: steps in any 60 minutes.

    ``breaker_owners``: with that many owners failing for one reason, or at one registry, nothing more is done about that.
    """

    namespace_per_hour: int = 10
    cluster_per_hour: int = 60
    grows_per_hour: int = 3
    back_off_s: float = 30.0
    most_back_off_s: float = 600.0
    stable_s: float = 120.0
    breaker_owners: int = 10


@dataclass(frozen=True, slots=True)
class StrategyEntry:
    """One way to run what a custom resource describes. ``patch``: JSON patch (RFC 6902); empty for the one that it begins with."""

    name: str
    patch: tuple[Mapping[str, object], ...] = ()

    @property
    def guards(self) -> tuple[Mapping[str, object], ...]:
        """The tests of the patch: they say when it applies."""
        return tuple(one for one in self.patch if one["op"] == "test")


@dataclass(frozen=True, slots=True)
class Strategy:
    """A kind of custom resource and the ways to run it, in order. ``label``: the pod's label with the resource's name; "": its owner."""

    group: str
    version: str
    plural: str
    kind: str
    label: str
    entries: tuple[StrategyEntry, ...]


@dataclass(frozen=True, slots=True)
class RecoverConfig:
    """The controller's configuration. ``closed``: namespaces that are never touched, besides those of the system."""

    policy: Policy = DEFAULT_POLICY
    bounds: Bounds = Bounds()
    strategies: tuple[Strategy, ...] = ()
    closed: frozenset[str] = frozenset()


class State(StrEnum):
    """How far an attempt is. INTENDED: recorded, and perhaps done already; DONE: its effect is not known yet.

    DROPPED: not done, or not to its end, since what it was decided by was not true any more.
    """

    INTENDED = "intended"
    DONE = "done"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    DROPPED = "dropped"


UNSETTLED = (State.INTENDED, State.DONE)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One step, from its intent to its result. ``number`` names it forever; ``tries``: how often it was started, by any controller.

    ``owner`` is ``namespace/Kind/name`` of what has the pod made. ``before`` and ``after`` are the values that it changes:
    images, bytes of memory, the names of strategies, of the pod and the one that replaces it. ``left_out``: init containers that the
    replacement lacks. ``fence`` is the object's step annotation at the intent, "" for none. ``what`` and ``cause`` are for people.
    ``changed_unix_s``: when it got its state, 0 for an intent. ``said``: its end was reported, on the pod too.
    """

    number: int
    owner: str
    namespace: str
    pod: str
    pod_uid: str
    action: Action
    container: str
    before: str
    after: str
    cause: str
    what: str
    at_unix_s: float
    left_out: str = ""
    resource: str = ""
    fence: str = ""
    tries: int = 1
    state: State = State.INTENDED
    result: str = ""
    changed_unix_s: float = 0.0
    said: bool = False

    @property
    def last_unix_s(self) -> float:
        """When it was recorded, done or ended: the last of these."""
        return max(self.at_unix_s, self.changed_unix_s)

    @property
    def token(self) -> str:
        """What this try writes into the step annotation."""
        return f"{self.number}.{self.tries}"

    def wrote(self, token: str) -> bool:
        """Whether a step annotation is that of a try of this attempt."""
        return token.startswith(f"{self.number}.")

    def newer(self, token: str) -> bool:
        """Whether a later try of this attempt wrote it: another leader has taken it over. What is no number of ours is none."""
        tries = token.removeprefix(f"{self.number}.")
        ours = tries.isascii() and tries.isdecimal() and len(tries) <= MOST_TRIES_DIGITS
        return self.wrote(token) and ours and int(tries) > self.tries


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done next, and why: an attempt that is not recorded yet; ``nth`` of at most ``of``.

    ``failed``: numbers of earlier attempts that this failure shows to have been of no help.
    """

    attempt: Attempt
    nth: int
    of: int
    dry_run: bool
    failed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing is to be done, and why. ``due_unix_s``: when to look again without a change; None: no such time.

    ``report``: worth an Event: somebody asked for a recovery and does not get it.
    """

    why: str
    due_unix_s: float | None = None
    report: bool = False


@dataclass(frozen=True, slots=True)
class Space:
    """A namespace."""

    name: str
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
