"""What a mode's Events say: in force, not to be had, fought over, more killed than is tolerated.

Takes records, gives safe text by wording.py. Pure.
"""

from __future__ import annotations

from agent.model import (
    MODE_LABEL,
    ON_EXCEEDED_ANNOTATION,
    TOLERATE_ANNOTATION,
    TOLERATE_ANNOTATION_PREFIX,
    BadWish,
    Mode,
    OnExceeded,
    Source,
    Tolerance,
)
from agent.wording.kills import note, safe


def mode_applied_note(container: str, mode: Mode, why: str) -> str:
    """A mode is in force."""
    means = (
        "an OOM kill takes only the process that the kernel picks"
        if mode is Mode.SINGLE
        else "an OOM kill takes all its processes"
    )
    return note(f"Container {safe(container)} is in mode {mode.value}: {means} ({safe(why, 200)}).")


def mode_invalid_note(wish: BadWish) -> str:
    """A label or annotation that asks for no mode."""
    kind = "Label" if wish.source is Source.LABEL else "Annotation"
    known = "single (only the process the kernel picks dies) or group (the whole container dies)"
    joint = ", which " if wish.why.startswith("is ") else ": "
    if wish.key.startswith((TOLERATE_ANNOTATION, TOLERATE_ANNOTATION_PREFIX, ON_EXCEEDED_ANNOTATION)):
        return note(
            f"Annotation {safe(wish.key, 200)} has the value {safe(repr(wish.value), 80)}, which says nothing that can be done: "
            f"{safe(wish.why, 160)}. Until it is mended any number of kills is tolerated."
        )
    said = f" has the value {safe(repr(wish.value), 80)}{joint}" if wish.value else ": "
    return note(f"{kind} {safe(wish.key, 200)}{said}{safe(wish.why, 120)}. Nothing is written for it. Use {known}.")


def mode_failed_note(path: str, why: str) -> str:
    """memory.oom.group could not be written."""
    return note(f"memory.oom.group of {safe(path, 300)} could not be set: {safe(why, 300)}")


def group_on_v1_note(container: str) -> str:
    """``group`` on cgroup v1."""
    return (
        f"Container {safe(container)} asks for mode group, but this node runs cgroup v1, whose kernel kills single processes only. "
        f"Use a node with cgroup v2, or take the label {MODE_LABEL} away."
    )


def fight_note(path: str) -> str:
    """Somebody keeps rewriting the knob."""
    return note(
        f"Somebody else keeps rewriting memory.oom.group of {safe(path, 300)} (more than 10 times in 10 s). It is now repaired once a "
        "second only. Look for another agent or a unit manager that writes it."
    )


def ancestor_note(path: str) -> str:
    """A 1 above a container that wants 0."""
    return note(
        f"memory.oom.group is 1 at {safe(path, 300)}, above containers in mode single: when the limit of that level or of one above "
        "it is hit, everything below dies all the same. Write 0 there, or find out who set it (OOMPolicy=kill of a systemd slice?)."
    )


def tolerance_exceeded_note(container: str, tolerance: Tolerance) -> str:
    """One process too many was killed."""
    many = "process" if tolerance.kills == 1 else "processes"
    then = (
        "Its next OOM kill takes all of it (memory.oom.group is 1 now), and the kubelet restarts it by its restart policy"
        if tolerance.on_exceeded is OnExceeded.ARM
        else "All its processes are killed now, and the kubelet restarts it by its restart policy"
    )
    return note(
        f"More than {tolerance.kills} {many} of container {safe(container)} were killed for memory within "
        f"{duration_text(tolerance.window_s)}, which is all that {safe(tolerance.said_by, 200)} tolerates. {then}. Raise its limit or run "
        "fewer or smaller processes in it."
    )


def killed_as_a_whole_note(container: str, why: OnExceeded | None, trouble: str) -> str:
    """The agent has killed all of a container. ``why`` None: mode group where the kernel can't."""
    reason = (
        "after an OOM kill in it, since mode group asks so" if why is None else "since it exceeded what it tolerates"
    )
    if trouble:
        return note(f"Container {safe(container)} was to be killed as a whole ({reason}), but {safe(trouble, 400)}.")
    return note(
        f"All processes of container {safe(container)} were killed {reason}. The kubelet restarts it by its restart policy."
    )


def duration_text(seconds: float) -> str:
    """``10m``, ``1h``, ``30s``: as settings and annotations have it."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"
