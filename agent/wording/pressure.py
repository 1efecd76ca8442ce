"""The text of memory pressure at a limit, and of stalls that the agent ended.

Takes records and returns text that is safe to print. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.model import AtLimit, Identity, MemoryVolume, OnStall, Scope, SeenProcess, StallPolicy, plain
from agent.wording.filled import advice_now, memory_text
from agent.wording.kill_record import ProcessRecord, memory_record
from agent.wording.text import bytes_text, duration_text, note, safe

MOST_NAMES = 4
LIKELY = "An OOM kill is likely if this goes on."
ADVICE = "Raise the memory limit, or run fewer or smaller processes in the container."


def processes_text(processes: Sequence[SeenProcess]) -> str:
    """``python3 180 MiB (PID 4312), tini 1 MiB (PID 1)``: the largest."""
    return ", ".join(
        f"{safe(one.comm)} {bytes_text(one.rss_bytes or 0)} (PID {one.pid})" for one in processes[:MOST_NAMES]
    )


def pressure_note(
    container: str,
    reading: AtLimit,
    stalled: float | None,
    processes: Sequence[SeenProcess],
    *,
    lasts_s: float,
    shared: bool,
    volumes: Sequence[MemoryVolume] = (),
) -> str:
    """The message of the Event, at most 1,024 bytes. ``volumes``: the emptyDirs in memory that count toward the limit."""
    whose = "the memory limit of its pod, which all its containers share," if shared else "its memory limit"
    lasts = f" and has been for {duration_text(lasts_s)}" if lasts_s else ""
    stall = f" Its processes stall on memory {percent(stalled)} of the time." if stalled is not None else ""
    use, largest = memory_text(reading.use), processes_text(processes)
    advice = advice_now(reading.use, reading.usage_bytes, volumes)
    return note(
        f"Container {safe(container)} is at {whose} of {bytes_text(reading.limit_bytes)} ({bytes_text(reading.usage_bytes)} in "
        f"use){lasts}; {percent(reading.fixed)} of the limit can't be freed.{stall}"
        + (f" Memory now: {use}." if use else "")
        + (f" Largest processes: {largest}." if largest else "")
        + f" {LIKELY} {ADVICE if advice is None else f'{advice[:1].upper()}{advice[1:]}.'}"
    )


def pressure_line(
    names: Identity, reading: AtLimit, stalled: float | None, processes: Sequence[SeenProcess], *, shared: bool
) -> str:
    """One line for the log."""
    stall = "" if stalled is None else f", stalled {percent(stalled)} of the time"
    limit = "limit of its pod" if shared else "limit"
    use, largest = memory_text(reading.use), processes_text(processes)
    return (
        f"memory pressure in {_place(names)}: at its {limit} of {bytes_text(reading.limit_bytes)}, "
        f"{percent(reading.fixed)} can't be freed{stall}"
        + (f", memory now: {use}" if use else "")
        + (f", largest processes: {largest}" if largest else "")
    )


def pressure_ended_line(names: Identity, lasted_s: float) -> str:
    return f"memory pressure in {_place(names)} ended after {lasted_s:.0f} s"


def pressure_fields(
    names: Identity, reading: AtLimit, stalled: float | None, processes: Sequence[SeenProcess], *, shared: bool
) -> dict[str, object]:
    """Fields of the log line, of the same names and types as a kill's."""
    return where(names) | {
        "scope": Scope.POD if shared else Scope.CONTAINER,
        "limit_bytes": reading.limit_bytes,
        "usage_bytes": reading.usage_bytes,
        "memory": plain(memory_record(reading.use)),
        "stalled": None if stalled is None else round(stalled, 3),
        "largest": [plain(ProcessRecord(one.pid, one.comm, None, one.rss_bytes)) for one in processes[:MOST_NAMES]],
    }


def where(names: Identity) -> dict[str, object]:
    """The place, as fields of a log line."""
    return {"namespace": names.namespace, "pod": names.pod, "container": names.container}


def _place(names: Identity) -> str:
    return f"{safe(names.namespace or '')}/{safe(names.pod or '')} container {safe(names.container or '')}"


def percent(share: float) -> str:
    """``97 %``."""
    return f"{100 * share:.0f} %"


def stall_resolved_note(
    container: str,
    policy: StallPolicy,
    ended: SeenProcess | None,
    lasted_s: float,
    before: tuple[float | None, int],
    after: tuple[float | None, int] | None,
) -> str:
    """``before`` and ``after``: the share of the time that it stalled, and its usage; ``after`` None: the container has ended."""
    then = f"Before: {_state(before)}. " + (
        f"After: {_state(after)}." if after is not None else "The container has ended."
    )
    return note(
        f"Container {safe(container)} was stalled at its own memory limit for {lasted_s:.0f} s, and the kernel killed nothing: the agent "
        f"ended {_what(policy, ended)} (on-stall {policy.on_stall.value} by {safe(policy.said_by, 200)}). {then}"
    )


def stall_ended_line(names: Identity, policy: StallPolicy, ended: SeenProcess | None) -> str:
    """One line for the log, when it is done."""
    return f"{_place(names)} is stalled at its own memory limit: the agent ends {_what(policy, ended)}"


def _what(policy: StallPolicy, ended: SeenProcess | None) -> str:
    what = "all its processes" if policy.on_stall is OnStall.GROUP else "its largest process"
    return (
        what if ended is None else f"{what}, {safe(ended.comm)} (PID {ended.pid}, {bytes_text(ended.rss_bytes or 0)})"
    )


def _state(state: tuple[float | None, int]) -> str:
    stalled, usage_bytes = state
    return f"stalled {'for an unknown part' if stalled is None else percent(stalled)} of the time, {bytes_text(usage_bytes)} in use"


def stall_failed_note(container: str, policy: StallPolicy, trouble: str) -> str:
    """The agent could not end what it was asked to."""
    return note(
        f"Container {safe(container)} is stalled at its own memory limit, but the agent could not end what on-stall "
        f"{policy.on_stall.value} asks for ({safe(policy.said_by, 200)}): {safe(trouble, 300)}."
    )


def no_psi_note(container: str, policy: StallPolicy) -> str:
    """on-stall on a node that does not report stalls."""
    return note(
        f"on-stall {policy.on_stall.value} of {safe(policy.said_by, 200)} has no effect for container {safe(container)}: this node's "
        "kernel reports no stalls (PSI). It needs cgroup v2, Linux 5.2 or newer with CONFIG_PSI, and on some distributions the boot "
        "option psi=1."
    )
