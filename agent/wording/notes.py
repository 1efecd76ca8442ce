"""The text of Events about modes: in force, invalid, failed, in conflict, tolerance exceeded.

Takes records and returns text that is safe to print. Pure.
"""

from __future__ import annotations

from agent.model import (
    MODE_LABEL,
    ON_EXCEEDED_ANNOTATION,
    ON_STALL_ANNOTATION,
    ON_STALL_ANNOTATION_PREFIX,
    PRESSURE_EVENTS_ANNOTATION,
    PRESSURE_EVENTS_ANNOTATION_PREFIX,
    STALL_AFTER_ANNOTATION,
    TOLERATE_ANNOTATION,
    TOLERATE_ANNOTATION_PREFIX,
    TOLERATE_SCOPE_ANNOTATION,
    InvalidSetting,
    Mode,
    OnExceeded,
    OnStall,
    OomPolicy,
    Reason,
    ScopePolicy,
    Source,
    Tolerance,
)
from agent.wording.text import count, duration_text, note, safe

ABOUT_STALLS = (ON_STALL_ANNOTATION, ON_STALL_ANNOTATION_PREFIX, STALL_AFTER_ANNOTATION)
ABOUT_PRESSURE = (PRESSURE_EVENTS_ANNOTATION, PRESSURE_EVENTS_ANNOTATION_PREFIX)
ABOUT_TOLERANCE = (TOLERATE_ANNOTATION, TOLERATE_ANNOTATION_PREFIX, ON_EXCEEDED_ANNOTATION, TOLERATE_SCOPE_ANNOTATION)
ENDS = {Mode.SINGLE: "ends only the process the kernel picks", Mode.GROUP: "ends the whole container"}


def mode_applied_note(container: str, mode: Mode, why: str) -> str:
    """A mode is in force."""
    effect = f"Mode {mode.value} is in force for container {safe(container)}: an OOM kill {ENDS[mode]}"
    return note(f"{effect}. Set by {safe(why, 200)}.")


def mode_invalid_note(bad: InvalidSetting) -> str:
    """A label or annotation with a value that is no mode or no tolerance, or for a container that the pod does not have."""
    if bad.key.startswith(ABOUT_TOLERANCE):
        return note(f"Annotation {safe(bad.key, 200)} {_invalid_tolerance(bad)}")
    if bad.key.startswith((*ABOUT_STALLS, *ABOUT_PRESSURE)):
        return note(f"Annotation {safe(bad.key, 200)} {_invalid_pressure(bad)}")
    kind = "Label" if bad.source is Source.LABEL else "Annotation"
    joint = ", which " if bad.why.startswith("is ") else ": "
    said = f" has the value {safe(repr(bad.value), 80)}{joint}" if bad.value else ": "
    modes = " or ".join(f"{mode.value} (an OOM kill {ends})" for mode, ends in ENDS.items())
    return note(f"{kind} {safe(bad.key, 200)}{said}{safe(bad.why, 120)}. It has no effect. Use {modes}.")


def _invalid_tolerance(bad: InvalidSetting) -> str:
    if bad.unknown_container:
        return f"has no effect: {safe(bad.why, 160)}."
    where = f" in container {safe(bad.container)}" if bad.container else ""
    where = " in containers without an annotation of their own" if bad.key == TOLERATE_ANNOTATION else where
    invalid = f"has the invalid value {safe(repr(bad.value), 80)}: {safe(bad.why, 160)}"
    return f"{invalid}. Until it is corrected, any number of kills is tolerated{where}."


def _invalid_pressure(bad: InvalidSetting) -> str:
    if bad.unknown_container:
        return f"has no effect: {safe(bad.why, 160)}."
    nothing = (
        "nothing is done about a stall"
        if bad.key.startswith(ABOUT_STALLS)
        else "no Event MemoryLimitPressure is posted"
    )
    where = f" in container {safe(bad.container)}" if bad.container else ""
    invalid = f"has the invalid value {safe(repr(bad.value), 80)}: {safe(bad.why, 160)}"
    return f"{invalid}. Until it is corrected, {nothing}{where}."


def too_many_note(reason: Reason, most: int) -> str:
    """A pod has had its limit of Events with this reason."""
    return note(
        f"This pod had {most} Events {reason.value} within an hour: more of them are not reported until the hour is over."
    )


def mode_failed_note(path: str, why: str) -> str:
    """memory.oom.group could not be written."""
    return note(f"Cannot write memory.oom.group of {safe(path, 300)}: {safe(why, 300)}")


def group_on_v1_note(container: str) -> str:
    """``group`` on cgroup v1."""
    return note(
        f"Container {safe(container)} requests mode group, but this node runs cgroup v1, where an OOM kill ends only one process. "
        f"Use a node with cgroup v2, or remove the label {MODE_LABEL}."
    )


def conflict_note(path: str) -> str:
    """Another program keeps rewriting memory.oom.group."""
    return note(
        f"Another program keeps rewriting memory.oom.group of {safe(path, 300)} (more than 10 times in 10 s). The agent now corrects "
        "it at most once per second. Look for another agent or a unit manager that writes this file."
    )


def ancestor_note(path: str) -> str:
    """memory.oom.group is 1 above a container in mode single."""
    return note(
        f"memory.oom.group is 1 at {safe(path, 300)}, above containers in mode single: if this level or one above it reaches its "
        "limit, an OOM kill ends everything below. Write 0 there, or find out who set it (OOMPolicy=kill of a systemd slice?)."
    )


def oom_policy_text(policy: ScopePolicy) -> str:
    """What the policy of a scope means for mode single, and the file that decides it."""
    by = f" ({safe(policy.decided_by, 300)})" if policy.decided_by else ""
    has = f"systemd has OOMPolicy={policy.policy.value} for its scope{by}"
    if not policy.stops_survivors:
        return f"{has}: systemd does nothing after an OOM kill of a single process"
    if_old = (
        ", unless systemd is version 259 or newer" if policy.policy is OomPolicy.KILL and policy.systemd is None else ""
    )
    unseen = "" if policy.whole else ". Drop-ins below /etc and /usr are not visible to the agent"
    return f"{has}: after an OOM kill, systemd stops the whole container{if_old}{unseen}"


def oom_policy_note(container: str, policy: ScopePolicy) -> str:
    """Mode single of a container that systemd stops after an OOM kill."""
    if policy.after_reload is OomPolicy.CONTINUE:
        todo = "Run systemctl daemon-reload on the node: a drop-in with OOMPolicy=continue is there, but systemd has not read it"
    else:
        todo = "Let the runtime ask the agent (NRI), or install a drop-in on the node: oomward oom-policy install"
    what = f"Mode single is not in force for container {safe(container)}: {oom_policy_text(policy)}"
    return note(f"{what}. {todo}. See docs/howto/oom-policy.md.")


def tolerance_exceeded_note(container: str, tolerance: Tolerance) -> str:
    """More processes were killed than the container tolerates."""
    armed = "The next OOM kill ends the whole container (memory.oom.group is now 1)"
    then = armed if tolerance.on_exceeded is OnExceeded.ARM else "The agent kills the whole container now"
    were = "was" if tolerance.kills == 1 else "were"
    return note(
        f"More than {count(tolerance.kills, 'process')} of container {safe(container)} {were} OOM-killed within "
        f"{duration_text(tolerance.window_s)}: the tolerance of {safe(tolerance.said_by, 200)} is exceeded. {then}, and its "
        "restart policy applies. The Events of its OOM kills say what filled the limit, and what to do."
    )


def killed_as_a_whole_note(container: str, why: OnExceeded | OnStall | None, trouble: str) -> str:
    """The agent has killed a whole container. ``why`` None: mode group on cgroup v1. ``trouble``: it could not, and why."""
    reason = "mode group on cgroup v1, after an OOM kill" if why is None else "its tolerance was exceeded"
    reason = "it stalled at its memory limit" if isinstance(why, OnStall) else reason
    what = f"all processes of container {safe(container)} ({reason})"
    if trouble:
        return note(f"The agent could not kill {what}: {safe(trouble, 400)}.")
    return note(f"The agent killed {what}. Its restart policy applies.")


def creation_failed_note(container: str, *, conflict: bool) -> str:
    """The runtime gave up a container that it was to create with our value. ``conflict``: another value was there before."""
    likely = (
        "Another NRI plugin probably sets memory.oom.group, too (memory-qos does); disable that in one of them"
        if conflict
        else (
            "If its Events name another cause, correct that; else look for another NRI plugin that sets memory.oom.group (memory-qos does)"
        )
    )
    return note(
        f"The runtime could not create container {safe(container)} after the agent had asked it for memory.oom.group by NRI. "
        f"The agent does not ask for this container again, and writes the file after its creation instead. {likely}."
    )


def nri_lost_line(why: str) -> str:
    """For the log: the runtime does not ask us (any more). ``why`` "": it has no socket."""
    reason = why or "there is no socket, so the runtime has NRI disabled or does not support it"
    return f"NRI is not in use: {reason}. Modes are enforced through the file"
