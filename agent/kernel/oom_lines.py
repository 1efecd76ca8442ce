"""The grammars of an OOM report's lines: one record's text in, one typed line (or None) out. No state.

Every line is recognised by how it begins, never by what stands inside it: names of processes (15 bytes of anything) and
of cgroups are chosen by workloads. Where a text can be read in more than one way all readings are given, and whoever
knows more decides. Source of the formats: mm/oom_kill.c and mm/memcontrol.c of 4.18 (with what EL 8 has of later ones), 4.19,
5.0, 5.4, 6.1, 6.8, 6.18.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from agent.model import TaskRow, Victim

COMM_MAX_BYTES = 15  # TASK_COMM_LEN is 16 with the final NUL
UNLIMITED_KB = 9_007_199_254_740_000  # PAGE_COUNTER_MAX in kB is a little above, how much depends on the page size
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")


def _unescaped_bytes(text: str) -> bytes:
    return _ESCAPE.sub(lambda m: bytes((int(m[1], 16),)), text.encode("utf-8", "surrogateescape"))


def unescape(text: str) -> str:
    r"""A path of the log as os.fsdecode would give it: ``\xNN`` undone, UTF-8, other bytes as lone surrogates (lossless).

    /dev/kmsg writes bytes below 0x20, from 0x7f on and the backslash as ``\xNN`` (Documentation/ABI/testing/dev-kmsg).
    """
    return _unescaped_bytes(text).decode("utf-8", "surrogateescape")


def unescape_comm(text: str) -> str:
    r"""A process name of the log: ``\xNN`` undone, UTF-8, and other bytes (a name cut inside a letter) as ``\xNN`` again.

    Unlike a path it is only shown and kept, so it must be encodable; it may still contain control characters.
    """
    return _unescaped_bytes(text).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a line that names cgroups; ``comm`` None where the line has none."""

    oom_memcg: str | None = None
    task_memcg: str | None = None
    comm: str | None = None


@dataclass(frozen=True, slots=True)
class Invoked:
    """``COMM invoked oom-killer: …``: a report begins."""


@dataclass(frozen=True, slots=True)
class Usage:
    """``memory: usage …kB, limit …kB``: of the OOM domain. ``limit_bytes`` None: the domain has no such limit."""

    usage_bytes: int
    limit_bytes: int | None


@dataclass(frozen=True, slots=True)
class StatsFor:
    """``Memory cgroup stats for PATH:``: the OOM domain (before 5.0 one such line per descendant, the domain's first)."""

    path: str


@dataclass(frozen=True, slots=True)
class TableHead:
    """The head of the task table. ``columns`` between the pid and the name."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the task table. ``ids``: the pid and tgid columns."""

    ids: frozenset[int]
    task: TaskRow
    total_vm_bytes: int | None


@dataclass(frozen=True, slots=True)
class TaskIn:
    """``Task in A killed as a result of limit of B`` (before 5.0): no pid. No reading at all: it made no sense."""

    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """Whom the OOM killer chose and where: ``oom-kill:constraint=…`` (5.0 and newer). At least one reading.

    ``sacrifice``: ``… Kill process N (COMM) score S or sacrifice child`` (before 5.1; 5.0 prints both): N or one of its children
    is killed next. ``global_oom`` None: the line doesn't say.
    """

    pid: int
    readings: tuple[Reading, ...]
    global_oom: bool | None
    uid: int | None = None
    constraint: str | None = None
    sacrifice: bool = False


@dataclass(frozen=True, slots=True)
class Killed:
    """``… Killed process N (COMM) …``: the kill itself. ``global_oom`` None: no prefix (before 5.1)."""

    victim: Victim
    global_oom: bool | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """``OOM victim N (COMM) is already exiting. Skip killing the task``: no kill, no count."""

    pid: int


@dataclass(frozen=True, slots=True)
class NoVictim:
    """``Out of memory and no killable processes...``: a report without a kill."""


@dataclass(frozen=True, slots=True)
class GroupKill:
    """``Tasks in PATH are going to be killed due to memory.oom.group set``."""

    path: str


DumpLine = Usage | StatsFor | TableHead | TaskIn
Line = Invoked | DumpLine | Claim | Killed | Skipped | NoVictim | GroupKill

_WHY = r"(?:(?P<why>Memory cgroup out of memory|Out of memory(?: \(oom_kill_allocating_task\))?): )?"
_INVOKED = re.compile(r".{0,60}? invoked oom-killer: gfp_mask=")
_USAGE = re.compile(r"memory: usage (\d{1,18})kB, limit (\d{1,18})kB, failcnt \d+")
_STATS = re.compile(r"Memory cgroup stats for (/.*?)(?::|: cache:\d+KB .*)")
_TABLE = re.compile(r"\[ +pid +\] +((?:[a-z_]+ +)*)name")
_CLAIM = re.compile(r"oom-kill:constraint=([A-Z_]+),nodemask=(.*),task=(.*),pid=(\d{1,10}),uid=(\d{1,10})")
_SACRIFICE = re.compile(_WHY + r"Kill process (?P<pid>\d{1,10}) \((?P<comm>.*)\) score \d+ or sacrifice child")
_KILLED = re.compile(
    _WHY + r"Killed process (?P<pid>\d{1,10}) \((?P<comm>.*)\) "
    r"total-vm:(?P<total_vm>\d{1,18})kB, anon-rss:(?P<anon>\d{1,18})kB, file-rss:(?P<file>\d{1,18})kB, "
    r"shmem-rss:(?P<shmem>\d{1,18})kB"
    r"(?:, UID:(?P<uid>\d{1,10}) pgtables:\d+kB oom_score_adj:(?P<adj>-?\d{1,5}))?(?:[ ,].*)?"
)
_SKIPPED = re.compile(_WHY + r"OOM victim (\d{1,10}) \(.*\) is already exiting\. Skip killing the task")
_GROUP = re.compile(r"Tasks in (/.*) are going to be killed due to memory\.oom\.group set")
_STARTS = ("oom-kill:constraint=", "Tasks in ", "Task in ", "Memory cgroup stats for ")
_KILLED_BY_LIMIT = " killed as a result of limit of /"


def parse_line(text: str) -> Line | None:
    """The line that this record's text is, with escapes still in it; None when it is none that matters, or half of one."""
    if " invoked oom-killer: " in text and _INVOKED.match(text):
        return Invoked()
    for start, parse in _PARSERS:
        if text.startswith(start):
            return parse(text)
    return None


def is_unfinished(text: str) -> bool:
    """Whether a line begins here that the kernel prints in pieces (pr_cont) and that has not come to its end yet.

    A piece becomes a record of its own (flag ``c``) when another CPU prints in between or the record is full (about
    1000 bytes, which two long cgroup paths reach).
    """
    return text.startswith(_STARTS) and parse_line(text) is None


def parse_row(text: str, columns: tuple[str, ...], page_bytes: int) -> Row | None:
    """A row of the task table whose head had these columns; None when it is none. The name is all after the last number."""
    match = re.fullmatch(r"\[ *(\d{1,10})\]" + r" +(-?\d{1,18})" * len(columns) + r" (.*)", text, re.DOTALL)
    if match is None or not fits_comm(match[match.lastindex or 0]):
        return None
    values = dict(zip(columns, map(int, match.groups()[1:-1]), strict=True))
    if "rss" not in values:
        return None
    tgid = values.get("tgid", int(match[1]))
    comm = unescape_comm(match[match.lastindex or 0])
    task = TaskRow(tgid, comm, values["rss"] * page_bytes, values.get("uid"), values.get("oom_score_adj"))
    total_vm = values.get("total_vm")
    return Row(frozenset({int(match[1]), tgid}), task, None if total_vm is None else total_vm * page_bytes)


def fits_comm(text: str) -> bool:
    """Whether this escaped text is short enough for a process name."""
    return len(_unescaped_bytes(text)) <= COMM_MAX_BYTES


def is_within(path: str, ancestor: str) -> bool:
    """Whether a cgroup path is this ancestor or lies below it."""
    return path == ancestor or path.startswith(ancestor.rstrip("/") + "/")


def _usage(text: str) -> Usage | None:
    match = _USAGE.fullmatch(text)
    if match is None:
        return None
    limit_kb = int(match[2])
    return Usage(int(match[1]) * 1024, None if limit_kb >= UNLIMITED_KB else limit_kb * 1024)


def _stats_for(text: str) -> StatsFor | None:
    match = _STATS.fullmatch(text)
    return StatsFor(unescape(match[1])) if match else None


def _table_head(text: str) -> TableHead | None:
    match = _TABLE.fullmatch(text)
    return TableHead(tuple(match[1].split())) if match else None


def _task_in(text: str) -> TaskIn | None:
    body = text.removeprefix("Task in ")
    pairs = [(body[:i], body[i + len(_KILLED_BY_LIMIT) - 1 :]) for i in _places(body, _KILLED_BY_LIMIT)]
    if not pairs:
        return None
    return TaskIn(tuple(Reading(unescape(limit), unescape(task)) for task, limit in pairs if is_within(task, limit)))


def _claim(text: str) -> Claim | None:
    match = _CLAIM.fullmatch(text)
    if match is None:
        return None
    body = f"{match[2]},task={match[3]}"
    # A cgroup's name holds no slash, so the (freely chosen) cpuset name before these marks can't hold one of them.
    marks = [(i, mark) for mark in (",oom_memcg=/", ",global_oom,task_memcg=/") if (i := body.find(mark)) >= 0]
    at, mark = min(marks, default=(-1, ""))
    readings = _readings(body[at + len(mark) - 1 :], mark) if mark else ()
    return Claim(
        pid=int(match[4]),
        uid=int(match[5]),
        constraint=match[1],
        global_oom=mark.startswith(",global") if mark else None,
        readings=readings or tuple(Reading(comm=comm) for comm in _comms(body)),
    )


def _readings(body: str, mark: str) -> tuple[Reading, ...]:
    """All ways to take ``D,task_memcg=T,task=COMM`` or ``T,task=COMM`` apart; T lies in D or the line was garbled."""
    found: list[Reading] = []
    for i in _places(body, ",task="):
        comm, paths = body[i + len(",task=") :], body[:i]
        if not fits_comm(comm):
            continue
        if mark.startswith(",global"):
            found.append(Reading(None, unescape(paths), unescape_comm(comm)))
            continue
        for j in _places(paths, ",task_memcg=/"):
            domain, task = paths[:j], paths[j + len(",task_memcg=") :]
            if is_within(task, domain):
                found.append(Reading(unescape(domain), unescape(task), unescape_comm(comm)))
    return tuple(found)


def _comms(body: str) -> list[str]:
    ends = [body[i + len(",task=") :] for i in _places(body, ",task=")]
    return [unescape_comm(comm) for comm in ends if fits_comm(comm)] or [""]


def _places(text: str, mark: str) -> list[int]:
    return [m.start() for m in re.finditer(f"(?={re.escape(mark)})", text)]


def _kill(text: str) -> Killed | Claim | Skipped | None:
    if (match := _KILLED.fullmatch(text)) and fits_comm(match["comm"]):
        return Killed(_victim(match), _is_global(match["why"]))
    if (match := _SACRIFICE.fullmatch(text)) and match["why"] and fits_comm(match["comm"]):
        reading = Reading(comm=unescape_comm(match["comm"]))
        return Claim(int(match["pid"]), (reading,), _is_global(match["why"]), sacrifice=True)
    if match := _SKIPPED.fullmatch(text):
        return Skipped(int(match[2]))
    return None


def _is_global(why: str | None) -> bool | None:
    return why.startswith("Out") if why else None


def _victim(match: re.Match[str]) -> Victim:
    sizes = {f"{kind}_bytes": int(match[kind]) * 1024 for kind in ("total_vm", "anon", "file", "shmem")}
    uid, adj = (int(text) if text else None for text in match.group("uid", "adj"))
    return Victim(int(match["pid"]), unescape_comm(match["comm"]), uid, oom_score_adj=adj, **sizes)


def _group(text: str) -> GroupKill | None:
    match = _GROUP.fullmatch(text)
    return GroupKill(unescape(match[1])) if match else None


_PARSERS: tuple[tuple[str, Callable[[str], Line | None]], ...] = (
    ("oom-kill:constraint=", _claim),
    ("Memory cgroup out of memory: ", _kill),
    ("Out of memory and no killable processes", lambda _: NoVictim()),
    ("Out of memory", _kill),
    ("Killed process ", _kill),
    ("OOM victim ", _kill),
    ("Tasks in /", _group),
    ("Task in /", _task_in),
    ("memory: usage ", _usage),
    ("Memory cgroup stats for /", _stats_for),
    ("[ ", _table_head),
)
