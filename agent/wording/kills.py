"""The text of a kill for Events, log lines and screens: what happened, which limit was hit, what to do.

Takes records and returns text that is safe to print: everything from the kernel, a label or a name is escaped. Pure.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.model import MODE_LABEL, Mode, OomKill, Outcome, Scope, TaskRow

NOTE_BYTES = 1024  # events.k8s.io/v1: a note is at most 1 KiB of UTF-8
NAME_LIMIT = 64
ELLIPSIS = " … "
# Characters without a glyph: grapheme joiner, fillers, vowel signs, variation selectors.
INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
NOT_ITS_FAULT = "This was not the container's fault."
MOST_NAMES = 5  # processes of one kill that are named
MOST_LIMITS = 6  # containers that are listed with their limits


def safe(text: str, limit_chars: int = NAME_LIMIT) -> str:
    """Escape control characters, line breaks, direction marks and lone surrogates; cut long text in the middle."""
    cleaned = "".join(_harmless(char) for char in text)
    return cut(cleaned, limit_chars)


def _harmless(char: str) -> str:
    # Cc control, Cf format (direction marks, zero width), Cs surrogates, Co private, Cn unassigned, Zl/Zp line ends.
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or char in INVISIBLE:
        code = ord(char)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return char


def cut(text: str, limit_chars: int) -> str:
    """At most ``limit_chars`` characters; the middle is left out."""
    if len(text) <= limit_chars:
        return text
    room = limit_chars - len(ELLIPSIS)
    if room <= 0:
        return text[:limit_chars]
    front = room - room // 3
    return text[:front] + ELLIPSIS + text[len(text) - room // 3 :]


def note(text: str) -> str:
    """As ``cut``, to the API's limit for a note, which counts bytes."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= NOTE_BYTES:
        return text
    room = NOTE_BYTES - len(ELLIPSIS.encode())
    front = raw[: room - room // 3].decode("utf-8", "ignore")
    return front + ELLIPSIS + raw[len(raw) - room // 3 :].decode("utf-8", "ignore")


def count(number: int, noun: str) -> str:
    """``1 process``, ``2 processes``, ``0 cgroups``."""
    return f"{number} {noun}" + ("" if number == 1 else "es" if noun.endswith("s") else "s")


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few: ``a, b, c and 4 more``."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def bytes_text(size: int) -> str:
    """``180.2 MiB``; whole numbers without a decimal."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1023.95:  # what rounds to 1024.0 belongs to the next unit
            break
        value, unit = value / 1024, larger
    number = f"{value:.1f}".removesuffix(".0")
    return f"{number} {unit}"


# ---------------------------------------------------------------------------------------------------------------- kills


def kill_note(
    kill: OomKill,
    *,
    kills_last_hour: int,
    container_limits: Mapping[str, int | None] | None,
    advice: str | None = None,
) -> str:
    """The message of a kill's Event, at most 1,024 bytes. ``container_limits`` None: the pod is not known.

    ``advice`` is the diagnosis' advice for the container, already safe; None: general advice for this kind of kill.
    """
    if kill.scope is Scope.CONTAINER and kill.limit_bytes is None and container_limits is not None:
        kill = replace(kill, limit_bytes=container_limits.get(kill.container or ""))  # its cgroup was removed
    parts = [
        *(_container_sentences(kill) if _whole_container(kill) else _process_sentences(kill)),
        _missing_sentence(kill),
        _often_sentence(kills_last_hour) if kill.container else "",
        _largest_sentence(kill.largest),
        _as_sentence(advice) if advice else _advice(kill),
        _limits_sentence(container_limits),
    ]
    return note(" ".join(part for part in parts if part))


def kill_line(kill: OomKill) -> str:
    """One line for the log: ``OOM kill in shop/web-1 container worker: python3 (PID 4312, 180 MiB), scope container, …``."""
    pod = f"{safe(kill.namespace or '')}/{safe(kill.pod)}" if kill.pod else ""
    where = f"{pod} container {safe(kill.container)}".strip() if kill.container else f"{pod} {_cgroup(kill)}".strip()
    scope = kill.scope.value if kill.scope else "unknown"
    limit = "" if kill.limit_bytes is None else f" (limit {bytes_text(kill.limit_bytes)})"
    outcome = f", container {kill.outcome.value}" if kill.outcome else ""
    return f"OOM kill in {where}: {_killed(kill)}, scope {scope}{limit}{outcome}"


def _whole_container(kill: OomKill) -> bool:
    return kill.container is not None and kill.group_kill and kill.outcome is Outcome.DIED


def _container_sentences(kill: OomKill) -> tuple[str, ...]:
    mode = f"mode {kill.mode.value}: " if kill.mode else ""
    number = f"{'all ' if kill.processes > 1 else ''}{_count(kill)}"
    names = f"Killed: {_names(kill)}." if kill.victims else ""
    limit, remark = _limit(kill)
    limit = limit.replace("the container's", "its")
    return f"Container {safe(kill.container or '')} was OOM-killed{limit} ({mode}{number}).", remark, names


def _process_sentences(kill: OomKill) -> tuple[str, ...]:
    where = f"container {safe(kill.container)}" if kill.container else _cgroup(kill)
    limit, remark = _limit(kill)
    return f"OOM-killed {_killed(kill)} in {where}{limit}.", remark, _outcome_sentence(kill)


def _killed(kill: OomKill) -> str:
    if kill.processes == 1 and kill.victims:
        victim = kill.victims[0]
        size = "size unknown" if victim.resident_bytes is None else bytes_text(victim.resident_bytes)
        return f"{safe(victim.comm)} (PID {victim.pid}, {size})"
    together = " as a group" if kill.group_kill and kill.processes > 1 else ""
    return f"{_count(kill)}{together}{f' ({_names(kill)})' if kill.victims else ''}"


def _count(kill: OomKill) -> str:
    return f"{kill.processes} process{'' if kill.processes == 1 else 'es'}"


def _names(kill: OomKill) -> str:
    """``worker 4312, herder 4300 and 7 more``."""
    shown = ", ".join(f"{safe(v.comm)} {v.pid}" for v in kill.victims[:MOST_NAMES])
    more = max(kill.processes, len(kill.victims)) - min(MOST_NAMES, len(kill.victims))
    return f"{shown}{f' and {more} more' if more > 0 else ''}"


def _cgroup(kill: OomKill) -> str:
    return f"cgroup {safe(kill.cgroup_path, 160)}" if kill.cgroup_path else "an unknown cgroup"


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
    at = "" if kill.limit_bytes is None else f" at a memory limit{of}{_usage(kill)}"
    return at, "Which limit was hit is not known."


def _usage(kill: OomKill) -> str:
    """Usage at the kill, where it differs from the limit."""
    if kill.usage_bytes is None:
        return ""
    usage = bytes_text(kill.usage_bytes)
    if kill.limit_bytes is not None and usage == bytes_text(kill.limit_bytes):
        return ""
    return f" ({usage} in use)"


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
    if kill.victims and not kill.details_missing:
        return ""
    if kill.victims:
        return "Details are missing: the kernel log has only part of the OOM report."
    which = "process is" if kill.processes == 1 else "processes are"
    return (
        f"The {which} not known: the kernel log has no OOM report for this kill (the kernel prints at most 10 in 5 s), "
        "or the log cannot be read."
    )


def _often_sentence(kills_last_hour: int) -> str:
    if kills_last_hour <= 1:
        return "1 OOM kill in the last hour."
    return f"{kills_last_hour} OOM kills in the last hour."


def _largest_sentence(largest: tuple[TaskRow, ...]) -> str:
    if not largest:
        return ""
    return "Largest processes: " + ", ".join(f"{safe(t.comm)} {bytes_text(t.rss_bytes)}" for t in largest) + "."


def _as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "…")) else ".")


def _advice(kill: OomKill) -> str:
    if kill.pod is None and kill.scope is not Scope.KUBEPODS:
        return "Run less on the node, or reserve more memory for the system." if kill.scope is Scope.NODE else ""
    spare = (
        f" With label {MODE_LABEL}=single, an OOM kill ends only the process the kernel picks."
        if kill.group_kill and kill.processes > 1 and kill.outcome is Outcome.DIED and kill.mode is Mode.GROUP
        else ""
    )
    match kill.scope:
        case Scope.CONTAINER:
            return f"Raise the container's limit, or run fewer or smaller processes in it.{spare}"
        case Scope.POD:
            return f"Raise the pod's limit, or give each container its own limit to see which one grows.{spare}"
        case Scope.KUBEPODS | Scope.NODE:
            return "Run less on the node, set memory requests to what pods use, or reserve more memory for the system."
    return f"Compare the limits of the pod and its containers with their usage.{spare}"


def _limits_sentence(limits: Mapping[str, int | None] | None) -> str:
    if not limits:
        return ""
    shown = [
        f"{safe(name)} {bytes_text(limit) if limit is not None else 'none'}"
        for name, limit in list(limits.items())[:MOST_LIMITS]
    ]
    more = "…" if len(limits) > MOST_LIMITS else ""
    return f"Memory limits of the pod's containers: {', '.join(shown)}{more}."


def kill_fields(kill: OomKill) -> dict[str, object]:
    """All fields of a kill, flat, for the JSON log line. Text is not escaped here: the JSON encoder does that."""
    victim = kill.victims[0] if kill.victims else None
    return {
        "event": "oom_kill",
        "kill_id": kill.kill_id,
        "node": kill.node,
        "namespace": kill.namespace,
        "pod": kill.pod,
        "pod_uid": kill.pod_uid,
        "container": kill.container,
        "container_id": kill.container_id,
        "cgroup_path": kill.cgroup_path,
        "processes": kill.processes,
        "group_kill": kill.group_kill,
        "mode": kill.mode.value if kill.mode else None,
        "scope": kill.scope.value if kill.scope else None,
        "outcome": kill.outcome.value if kill.outcome else None,
        "victim_pid": victim.pid if victim else None,
        "victim_comm": victim.comm if victim else None,
        "victim_uid": victim.uid if victim else None,
        "victim_resident_bytes": victim.resident_bytes if victim else None,
        "victims": [{"pid": v.pid, "comm": v.comm, "resident_bytes": v.resident_bytes} for v in kill.victims],
        "limit_bytes": kill.limit_bytes,
        "usage_bytes": kill.usage_bytes,
        "largest": [{"pid": t.pid, "comm": t.comm, "rss_bytes": t.rss_bytes} for t in kill.largest],
        "sources": sorted(kill.sources),
        "details_missing": kill.details_missing,
        "report_sequence": kill.report_sequence,
        "at_unix_s": round(kill.at_unix_s, 3),
    }
