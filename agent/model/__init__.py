"""The vocabulary: the frozen records that pass between rooms. No input or output; imports nothing of ours.

Units are in the names: ``_bytes``, ``_s`` (seconds), ``_us`` (microseconds). ``at_monotonic_s`` is CLOCK_MONOTONIC,
``at_unix_s`` is wall-clock time. None always means "not known" unless the field says otherwise.
"""

from agent.model.cgroups import (
    NODE,
    VANISHED,
    Cgroup,
    CgroupAppeared,
    CgroupGone,
    CgroupKind,
    CgroupMissed,
    CgroupPlace,
    CountersTouched,
    KillAttempt,
    KillOutcome,
    KnobTouched,
    KnobWrite,
    MemoryEvents,
    TreeEvent,
    TreeOverflowed,
    Vanished,
    WriteOutcome,
    is_inside,
    levels_above,
)
from agent.model.events import Budget, Notice, ObjectRef, Reason, event_name
from agent.model.kernel import KmsgGap, KmsgRecord, OomReport, TaskRow, Victim
from agent.model.kills import Baseline, KeptDecision, OomKill, Original, Outcome, Scope, kills_of_cgroup
from agent.model.messages import (
    EventDelivered,
    EventFailed,
    Message,
    PodChanged,
    PodDeleted,
    PodSkipped,
    PodsListed,
    ThreadDied,
    WatchTrouble,
)
from agent.model.modes import (
    MODE_ANNOTATION_PREFIX,
    MODE_LABEL,
    ON_EXCEEDED_ANNOTATION,
    TOLERATE_ANNOTATION,
    TOLERATE_ANNOTATION_PREFIX,
    TOLERATE_SCOPE_ANNOTATION,
    BadWish,
    Decision,
    LabelSelector,
    Mode,
    OnExceeded,
    Operator,
    Requirement,
    Rule,
    Rules,
    Source,
    Tolerance,
)
from agent.model.pods import CONFIG_HASH_ANNOTATION, ContainerKind, Identity, Pod, PodContainer


class AgentError(RuntimeError):
    """The agent can't work: what, where, and what to do, in a sentence for people."""
