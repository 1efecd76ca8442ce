"""The text of a kill for Events, log lines and screens: what happened, which limit was hit, what to do.

Takes records and returns text that is safe to print: everything from the kernel, a label or a name is escaped. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.model import MODE_LABEL, NO_LIMIT_SCOPES, MemoryVolume, Mode, OomKill, Outcome, Scope
from agent.wording.filled import containers_sentence, filled_advice, memory_sentence, memory_text
from agent.wording.processes import seen_sentence, seen_text
from agent.wording.scopes import SHORTAGE, SHORTAGE_ADVICE
from agent.wording.text import NOTE_BYTES, bytes_text, count, note, safe

NO_LIMIT = "Set a memory limit for the container: it has none, so it may use all memory of the node."
NOT_ITS_FAULT = "This was not the container's fault."
AGENT_ENDED = "The container survived it; then the agent ended the container, because its tolerance was exceeded."
SANDBOX_ADVICE = (
    "Raise the containers' memory limits: the sandbox and each container's start need some MiB of their sum."
)
VM_ADVICE = (
    "Raise the containers' memory limits, or the overhead of the pod's RuntimeClass: the pod's sandbox is a virtual machine, which needs "
    "memory besides that of its containers."
)
LARGEST_THERE = "Largest processes in the kernel's report"  # of no limit that is known
LARGEST: dict[Scope | None, str] = {  # the kernel lists those below the limit that was hit
    Scope.CONTAINER: "Largest processes",
    Scope.POD: "Largest processes of the pod",
    Scope.KUBEPODS: "Largest processes of all pods",
    **dict.fromkeys(NO_LIMIT_SCOPES, "Largest processes of the node"),
}
NODE_ADVICE = "Run less on the node, set memory requests to what pods use, or reserve more memory for the system."
COMPARE = "Compare the limits of the pod and its containers with their usage."
ADVICE: dict[Scope | None, str] = {  # where no more is known than the limit
    Scope.CONTAINER: "Raise the container's limit, or run fewer or smaller processes in it.",
    Scope.POD: "Raise the pod's limit, or give each container its own limit to see which one grows.",
    Scope.KUBEPODS: NODE_ADVICE,
    Scope.NODE: NODE_ADVICE,
}
MOST_NAMES = 5  # processes of one kill that are named
MOST_LIMITS = 6  # containers that are listed with their limits
FOUND, SETTLED, DETAILS = "oom_kill", "oom_kill_settled", "oom_kill_details"
# What a line of each begins with: a search for one text finds each kill once.
LINES = {FOUND: "OOM kill in", SETTLED: "OOM kill settled in", DETAILS: "late details of the kill in"}


def kill_note(
    kill: OomKill,
    *,
    container_limits: Mapping[str, int | None] | None,
    volumes: Sequence[MemoryVolume] = (),
    advice: str | None = None,
    ended_by_agent: bool = False,
) -> str:
    """The message of a kill's Event, at most 1,024 bytes. ``container_limits`` None: the pod is not known.

    ``volumes``: the emptyDirs in memory whose files count toward the limit that was hit. ``advice`` is the diagnosis' advice for the
    container, already safe; None: general advice for this kind of kill. ``ended_by_agent``: the container survived, and the agent
    ended it.
    No number here may change while the Event's count rises.
    """
    if kill.scope is Scope.CONTAINER and kill.limit_bytes is None and container_limits is not None:
        kill = replace(kill, limit_bytes=container_limits.get(kill.container or ""))  # its cgroup was removed
    node_short = kill.scope in (Scope.KUBEPODS, Scope.NODE)
    advice = advice or SHORTAGE_ADVICE.get(kill.scope)
    unlimited = node_short and (container_limits or {"": 0}).get(kill.container or "", 0) is None
    whole_container = kill.container is not None and kill.group_kill and kill.outcome is Outcome.DIED
    largest = [f"{safe(t.comm)} {bytes_text(t.rss_bytes)}" for t in kill.largest]
    parts = [
        *(_container_sentences(kill) if whole_container else _process_sentences(kill, ended_by_agent)),
        missing := _missing_sentence(kill),
        memory_sentence(kill),
        containers := containers_sentence(kill),
        processes := _list_sentence(LARGEST.get(kill.scope, LARGEST_THERE), largest),
        NO_LIMIT if unlimited else _as_sentence(advice) if advice else _advice(kill, volumes),
        limits := _limits_sentence(container_limits or {}),
    ]
    left_out = {"", NOT_ITS_FAULT if unlimited else ""}
    for dispensable in (
        "",
        limits,
        containers,
        processes,
        missing,
    ):  # where there is no room, the least important first
        left_out.add(dispensable)
        text = " ".join(part for part in parts if part not in left_out)
        if len(text.encode("utf-8", "replace")) <= NOTE_BYTES:
            break
    return seen_sentence(kill, note(text))


def kill_line(kill: OomKill, event: str = FOUND) -> str:
    """One line for the log: ``OOM kill in shop/web-1 container worker: python3 (PID 4312, 180 MiB), scope container, …``."""
    pod = f"{safe(kill.namespace or '')}/{safe(kill.pod)}" if kill.pod else ""
    where = f"{pod} {_place(kill)}".strip()
    scope = kill.scope.value if kill.scope else "unknown"
    limit = "" if kill.limit_bytes is None else f" (limit {bytes_text(kill.limit_bytes)})"
    what = "sandbox" if kill.sandbox else "container"
    outcome = f", {what} {kill.outcome.value}" if kill.outcome else ", outcome not known" if event == SETTLED else ""
    memory = memory_text(kill.use) if kill.use is not None else ""
    when = "memory then" if kill.use is not None and kill.use.by_report else "memory right after"
    filled = f", {when}: {memory}" if memory else ""
    seen = f"; {text}" if (text := seen_text(kill)) else ""
    return f"{LINES[event]} {where}: {_killed(kill)}, scope {scope}{limit}{outcome}{filled}{seen}"


def _container_sentences(kill: OomKill) -> tuple[str, ...]:
    mode = f"mode {kill.mode.value}: " if kill.mode else ""
    number = f"{'all ' if kill.processes > 1 else ''}{count(kill.processes, 'process')}"
    names = f"Killed: {_names(kill)}." if kill.victims else ""
    limit, remark = _limit(kill)
    limit = limit.replace("the container's", "its")
    return f"Container {safe(kill.container or '')} was OOM-killed{limit} ({mode}{number}).", remark, names


def _process_sentences(kill: OomKill, ended_by_agent: bool) -> tuple[str, ...]:
    limit, remark = _limit(kill)
    sandbox = (
        "virtual machine, which all its containers are in,"
        if kill.in_vm
        else "sandbox, which is none of its containers,"
    )
    place = f"the pod's {sandbox}" if kill.sandbox else _place(kill)
    if kill.sandbox:
        what = "virtual machine" if kill.in_vm else "sandbox"
        outcome = (
            f"The {what} died: without it none of the pod's containers runs." if kill.outcome is Outcome.DIED else ""
        )
    elif ended_by_agent and kill.outcome is Outcome.SURVIVED:
        outcome = AGENT_ENDED
    else:
        outcome = _outcome_sentence(kill)
    return f"OOM-killed {_killed(kill)} in {place}{limit}.", remark, outcome


def _place(kill: OomKill) -> str:
    if kill.container:
        return f"container {safe(kill.container)}"
    if kill.sandbox:
        return "sandbox"
    if kill.pod and kill.container_id:
        return f"container or sandbox {safe(kill.container_id[:12])} (name not known)"
    return f"cgroup {safe(kill.cgroup_path, 160)}" if kill.cgroup_path else "an unknown cgroup"


def _killed(kill: OomKill) -> str:
    if kill.processes == 1 and kill.victims:
        victim = kill.victims[0]
        size = "size unknown" if victim.resident_bytes is None else bytes_text(victim.resident_bytes)
        return f"{safe(victim.comm)} (PID {victim.pid}, {size})"
    together = " as a group" if kill.group_kill and kill.processes > 1 else ""
    return f"{count(kill.processes, 'process')}{together}{f' ({_names(kill)})' if kill.victims else ''}"


def _names(kill: OomKill) -> str:
    """``worker 4312, herder 4300 and 7 more``."""
    shown = ", ".join(f"{safe(v.comm)} {v.pid}" for v in kill.victims[:MOST_NAMES])
    more = max(kill.processes, len(kill.victims)) - min(MOST_NAMES, len(kill.victims))
    return f"{shown}{f' and {more} more' if more > 0 else ''}"


def _limit(kill: OomKill) -> tuple[str, str]:
    """`` at the container's memory limit of 256 MiB``, and a sentence about it or ""."""
    of = " (value unknown)" if kill.limit_bytes is None else f" of {bytes_text(kill.limit_bytes)}"
    in_pod = kill.pod is not None or kill.container_id is not None
    match kill.scope:
        case Scope.CONTAINER:
            return f" at the {'container' if in_pod else 'cgroup'}'s memory limit{of}{_usage(kill)}", ""
        case Scope.POD:
            return f" at the pod's memory limit{of}{_usage(kill)}, shared by its containers", ""
        case Scope.KUBEPODS:
            return f" at the node's memory limit{of} for all pods", NOT_ITS_FAULT
        case Scope.NODE:
            return " because the node was out of memory", NOT_ITS_FAULT if in_pod else ""
        case Scope.NUMA | Scope.SYSRQ:
            return f" because {SHORTAGE[kill.scope]}", NOT_ITS_FAULT if in_pod else ""
    at = "" if kill.limit_bytes is None else f" at a memory limit{of}{_usage(kill)}"
    return at, "Which limit was hit is not known."


def _usage(kill: OomKill) -> str:
    """Usage at the kill, where it differs from the limit."""
    usage = None if kill.usage_bytes is None else bytes_text(kill.usage_bytes)
    same = kill.limit_bytes is not None and usage == bytes_text(kill.limit_bytes)
    return "" if usage is None or same else f" ({usage} in use)"


def _outcome_sentence(kill: OomKill) -> str:
    mode = f" (mode {kill.mode.value})" if kill.mode else ""
    match kill.outcome:
        case Outcome.SURVIVED:
            return f"The container is still running{mode}."
        case Outcome.DIED if kill.mode is Mode.SINGLE:
            return f"The container died{mode}: its PID 1 was killed, or ended right after."
        case Outcome.DIED:
            return f"The container died{mode}."
    return "Whether the container survived is not known." if kill.container else ""


def _missing_sentence(kill: OomKill) -> str:
    if kill.victims:
        missing = "Details are missing: the kernel log has only part of the OOM report."
        return missing if kill.details_missing else ""
    which = "process is" if kill.processes == 1 else "processes are"
    return (
        f"The {which} not known: the kernel log has no OOM report for this kill (the kernel prints at most 10 in 5 s), "
        "or the log cannot be read."
    )


def _as_sentence(text: str) -> str:
    """With a capital and a full stop; "" stays empty."""
    return text and text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "…")) else ".")


def _advice(kill: OomKill, volumes: Sequence[MemoryVolume]) -> str:
    if kill.sandbox and kill.scope in (Scope.CONTAINER, Scope.POD):
        return VM_ADVICE if kill.in_vm else SANDBOX_ADVICE
    if kill.pod is None and kill.scope is not Scope.KUBEPODS:
        return "Run less on the node, or reserve more memory for the system." if kill.scope is Scope.NODE else ""
    whole = kill.group_kill and kill.processes > 1 and kill.outcome is Outcome.DIED and kill.mode is Mode.GROUP
    single = f" With label {MODE_LABEL}=single, an OOM kill ends only the process the kernel picks." if whole else ""
    return (_as_sentence(filled_advice(kill, volumes) or "") or ADVICE.get(kill.scope, COMPARE)) + single


def _limits_sentence(limits: Mapping[str, int | None]) -> str:
    shown = [f"{safe(name)} {'none' if limit is None else bytes_text(limit)}" for name, limit in limits.items()]
    more = "…" if len(shown) > MOST_LIMITS else ""
    return _list_sentence("Memory limits of the pod's containers", shown[:MOST_LIMITS], more)


def _list_sentence(title: str, shown: Sequence[str], more: str = "") -> str:
    return f"{title}: {', '.join(shown)}{more}." if shown else ""
