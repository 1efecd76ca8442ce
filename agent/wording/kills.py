"""Facts become sentences, for Events, log lines and screens alike: what happened, whose limit, what to do.

Takes records, gives safe text: nothing from the kernel, a label or a name passes without being made harmless. Pure.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import replace

from agent.model import MODE_LABEL, Mode, OomKill, Outcome, Scope, TaskRow, Victim

NOTE_BYTES = 1024  # events.k8s.io/v1: a note is at most 1 KiB of UTF-8
NAME_LIMIT = 64
ELLIPSIS = " … "
# Marks without a width of their own and blanks that are no spaces: grapheme joiner, fillers, vowel signs, variation selectors.
UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
NOT_ITS_FAULT = "this was not the container's fault"


def safe(text: str, limit_chars: int = NAME_LIMIT) -> str:
    """Text without control characters, line breaks, direction marks or lone surrogates; too long, it is cut in the middle."""
    cleaned = "".join(_harmless(char) for char in text)
    return cut(cleaned, limit_chars)


def _harmless(char: str) -> str:
    # Cc control, Cf format (direction marks, zero width), Cs surrogates, Co private, Cn unassigned, Zl/Zp line ends.
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or char in UNSEEN:
        code = ord(char)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return char


def cut(text: str, limit_chars: int) -> str:
    """At most ``limit_chars`` characters, the middle left out: beginnings and ends tell most."""
    if len(text) <= limit_chars:
        return text
    room = limit_chars - len(ELLIPSIS)
    if room <= 0:
        return text[:limit_chars]
    front = room - room // 3
    return text[:front] + ELLIPSIS + text[len(text) - room // 3 :]


def note(text: str) -> str:
    """As ``cut``, to what the API takes for a note: it counts bytes."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= NOTE_BYTES:
        return text
    room = NOTE_BYTES - len(ELLIPSIS.encode())
    front = raw[: room - room // 3].decode("utf-8", "ignore")
    return front + ELLIPSIS + raw[len(raw) - room // 3 :].decode("utf-8", "ignore")


def bytes_text(size: int) -> str:
    """``180.2 MiB``; whole numbers without a decimal."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1023.95:  # what would be shown as 1024.0 is one of the next unit
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

    ``advice`` is what the diagnosis of the container says to do, safe already; None: by the kill alone.
    """
    if kill.scope is Scope.CONTAINER and kill.limit_bytes is None and container_limits is not None:
        kill = replace(kill, limit_bytes=container_limits.get(kill.container or ""))  # its cgroup was gone
    parts = [
        f"{_who(kill)}: {_limit_sentence(kill)}",
        _outcome_sentence(kill),
        _missing_sentence(kill),
        _often_sentence(kills_last_hour) if kill.container else "",
        _largest_sentence(kill.largest),
        _as_sentence(advice) if advice else _advice(kill),
        _limits_sentence(container_limits),
    ]
    return note(" ".join(part for part in parts if part))


def _as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "…")) else ".")


def _often_sentence(kills_last_hour: int) -> str:
    if kills_last_hour <= 1:
        return "The only kill there in the last hour."
    return f"{kills_last_hour} kills in the last hour."


def _plural(count: int, word: str) -> str:
    return word if count == 1 else word + ("es" if word.endswith("s") else "s")


def _size(victim: Victim) -> str:
    size = victim.resident_bytes
    return "resident size unknown" if size is None else f"{bytes_text(size)} resident"


def _who(kill: OomKill) -> str:
    where = f" in container {safe(kill.container)}" if kill.container else f" in {_cgroup(kill)}"
    if kill.processes == 1 and kill.victims:
        victim = kill.victims[0]
        return f"OOM killer killed process {victim.pid} ({safe(victim.comm)}, {_size(victim)}){where}"
    number = f"{kill.processes} {_plural(kill.processes, 'process')}"
    if kill.group_kill and kill.processes > 1:
        number = f"all {number}" if kill.outcome is not Outcome.SURVIVED else f"{number} as a group"
    return f"OOM killer killed {number}{_names(kill)}{where}"


def _cgroup(kill: OomKill) -> str:
    return f"cgroup {safe(kill.cgroup_path, 160)}" if kill.cgroup_path else "a cgroup that is not known"


def _names(kill: OomKill) -> str:
    if not kill.victims:
        return ""
    shown = ", ".join(f"{v.pid} {safe(v.comm)}" for v in kill.victims[:5])
    more = max(kill.processes, len(kill.victims)) - min(5, len(kill.victims))
    return f" ({shown}{f' and {more} more' if more > 0 else ''})"


def _limit_sentence(kill: OomKill) -> str:
    high = "how high is not known" if kill.limit_bytes is None else bytes_text(kill.limit_bytes)
    limit = f" ({high})" if kill.limit_bytes is None else f" {high}"
    in_pod = kill.pod is not None or kill.container_id is not None
    match kill.scope:
        case Scope.CONTAINER if in_pod:
            return f"the container's memory limit{limit} was reached{_usage(kill)}."
        case Scope.POD:
            return f"the pod's memory limit{limit}, which its containers share, was reached{_usage(kill)}."
        case Scope.KUBEPODS:
            return f"all pods together reached what the node allows them ({high}); {NOT_ITS_FAULT}."
        case Scope.NODE:
            return "the whole node was out of memory" + (f"; {NOT_ITS_FAULT}." if in_pod else ".")
    if kill.limit_bytes is None:
        return "which limit was hit is not known."
    whose = f"a memory limit of {high} was hit" if in_pod else f"the memory limit{limit} of its cgroup was reached"
    return f"{whose}{_usage(kill)}{'; it is not known which one' if in_pod else ''}."


def _usage(kill: OomKill) -> str:
    """Usage then, where it says more than the limit does."""
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
            return f"The container kept running{mode}."
        case Outcome.DIED if kill.group_kill:
            return f"The container died with all its processes{mode}."
        case Outcome.DIED if kill.mode is Mode.SINGLE:
            return f"The container died all the same{mode}: its PID 1 was the one killed, or ended right after."
        case Outcome.DIED:
            return f"The container died of it{mode}."
    return "Whether the container lives is not known." if kill.container else ""


def _missing_sentence(kill: OomKill) -> str:
    if kill.victims and not kill.details_missing:
        return ""
    if kill.victims:
        return "Details are missing: the kernel's log told only part of it."
    which = "Which process" if kill.processes == 1 else "Which processes"
    return f"{which} is not known: the kernel's log has no report of it (it prints 10 in 5 s at most) or can't be read."


def _largest_sentence(largest: tuple[TaskRow, ...]) -> str:
    if not largest:
        return ""
    return "Largest then: " + ", ".join(f"{safe(t.comm)} {bytes_text(t.rss_bytes)}" for t in largest) + "."


def _advice(kill: OomKill) -> str:
    if kill.pod is None and kill.scope is not Scope.KUBEPODS:
        return "Lower what runs on the node or reserve more for the system." if kill.scope is Scope.NODE else ""
    spare = (
        f" With the label {MODE_LABEL}: single only the process that the kernel picks would die."
        if kill.group_kill and kill.processes > 1 and kill.outcome is Outcome.DIED and kill.mode is Mode.GROUP
        else ""
    )
    match kill.scope:
        case Scope.CONTAINER:
            return f"Raise the container's limit or run fewer or smaller processes in it.{spare}"
        case Scope.POD:
            return f"Raise the pod's limit, or give each container a limit of its own to see which one grows.{spare}"
        case Scope.KUBEPODS | Scope.NODE:
            return "Lower what runs on the node, set requests that tell what pods use, or reserve more for the system."
    return f"Compare the limits of the pod and its containers with what they use.{spare}"


def _limits_sentence(limits: Mapping[str, int | None] | None) -> str:
    if not limits:
        return ""
    shown = [
        f"{safe(name)} {bytes_text(limit) if limit is not None else 'none'}" for name, limit in list(limits.items())[:6]
    ]
    return "Memory limits of the pod's containers: " + ", ".join(shown) + ("…" if len(limits) > 6 else "") + "."


def kill_line(kill: OomKill) -> str:
    """One line for the log."""
    where = f"{safe(kill.namespace or '')}/{safe(kill.pod or '')}: " if kill.pod else ""
    outcome = f" Container {kill.outcome.value}." if kill.outcome else ""
    return f"{where}{_who(kill)}: {_limit_sentence(kill)}{outcome}"


def kill_fields(kill: OomKill) -> dict[str, object]:
    """Every field of a kill, flat, for the JSON log line. Text is as the kernel gave it: the log's encoder escapes it."""
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
