"""The grammars of an OOM report's lines: one record's text in, one typed line (or None) out. No state.

Every line is recognised by how it begins, never by a text inside it: names of processes (15 bytes of anything) and of cgroups are
chosen by workloads. Where a text can be read in more than one way all readings are returned, and the caller decides. Formats:
mm/oom_kill.c and mm/memcontrol.c of 3.10 (EL 7), 4.18 (with what EL 8 has of later ones), 4.19, 5.0, 5.4, 6.1, 6.8, 6.18.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from agent.kernel.oom_memory import KMEM, MEMSW, kinds_of_line
from agent.model import Victim, is_inside

COMM_MAX_BYTES = 15  # TASK_COMM_LEN is 16 with the final NUL
UNLIMITED_KB = 9_007_199_254_740_000  # PAGE_COUNTER_MAX in kB is a little above, how much depends on the page size
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")


def unescape(text: str) -> str:
    r"""A path of the log as os.fsdecode would give it: ``\xNN`` undone, UTF-8, other bytes as lone surrogates (lossless).

    /dev/kmsg writes bytes below 0x20, from 0x7f on and the backslash as ``\xNN`` (Documentation/ABI/testing/dev-kmsg).
    """
    return _unescaped_bytes(text).decode("utf-8", "surrogateescape")


def comm_of(text: str) -> str | None:
    r"""A process name of the log, always encodable: UTF-8, other bytes (a letter cut in two) as ``\xNN``. None: too long for a name."""
    name = _unescaped_bytes(text)
    return name.decode("utf-8", "backslashreplace") if len(name) <= COMM_MAX_BYTES else None


def _unescaped_bytes(text: str) -> bytes:
    return _ESCAPE.sub(lambda m: bytes((int(m[1], 16),)), text.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a line that names cgroups; ``comm`` None where the line has none."""

    oom_memcg: str | None = None
    task_memcg: str | None = None
    comm: str | None = None


@dataclass(frozen=True, slots=True)
class Invoked:
    """``COMM invoked oom-killer: …``: a report begins. ``sysrq``: by hand, not by an allocation (order=-1 since 4.2)."""

    sysrq: bool = False


@dataclass(frozen=True, slots=True)
class DumpLine:
    """One line of the dump, which sets only its own fields; all are of the OOM domain.

    ``memory: usage …kB, limit …kB``: ``limit_bytes`` None is no limit. ``Memory cgroup stats for PATH:`` has the ``domain`` (before 5.0 one
    such line per descendant, the domain's first, each with its own ``kinds`` of memory in bytes). ``kmem: usage …kB``, ``swap: usage …kB``
    and ``memory+swap: usage …kB`` are ``kinds`` too. The head of the task table: its ``columns`` between pid and name. ``Task in A killed
    as a result of limit of B`` (before 5.0): ``task_in`` without a pid; empty when A does not lie in B.
    """

    usage_bytes: int | None = None
    limit_bytes: int | None = None
    domain: str | None = None
    kinds: tuple[tuple[str, int], ...] = ()
    columns: tuple[str, ...] | None = None
    task_in: tuple[Reading, ...] | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The process that the OOM killer chose, and its cgroup: ``oom-kill:constraint=…`` (5.0 and newer). At least one reading.

    Vendors' 3.10 has ``oom-kill:,cpuset=…``. ``sacrifice``: ``… Kill process N (COMM) score S or sacrifice child`` (before 5.1; 5.0 prints
    both): N or one of its children is killed next. ``global_oom`` None: the line doesn't say.
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
class Reaped:
    """``oom_reaper: reaped process N (COMM), …`` or ``oom_reaper: unable to reap pid:N (COMM)``: a process that was killed before."""

    pid: int
    comm: str


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


Line = Invoked | DumpLine | Claim | Killed | Reaped | Skipped | NoVictim | GroupKill


def parse_line(text: str) -> Line | None:
    """The line that this record's text is, with escapes still in it; None: no line of a report, or half of one."""
    if " invoked oom-killer: " in text and (match := _INVOKED.match(text)):
        return Invoked(sysrq=" order=-1," in text[match.end() :])
    if (starts_and_forms := _FORMS.get(text[:1])) is not None and text.startswith(starts_and_forms[0]):
        for pattern, line_of in starts_and_forms[1]:
            if (match := pattern.fullmatch(text)) and (line := line_of(match)) is not None:
                return line
    return None


def may_be_continued(text: str) -> bool:
    """Whether this text, which ``parse_line`` does not know, may be the beginning of a line that the kernel prints in pieces (pr_cont).

    A piece becomes a record of its own (flag ``c``) when another CPU prints in between or the record is full (about
    1000 bytes, which two long cgroup paths reach).
    """
    return text.startswith(_IN_PIECES)


def is_within(path: str, ancestor: str) -> bool:
    """Whether a cgroup path of the log is this ancestor or lies below it."""
    return is_inside(path, ancestor.rstrip("/"))


def _usage(match: re.Match[str]) -> DumpLine:
    usage_kb, limit_kb = int(match[1]), int(match[2])
    return DumpLine(usage_kb * 1024, None if limit_kb >= UNLIMITED_KB else limit_kb * 1024)


def _stats(match: re.Match[str]) -> DumpLine:
    # A nested cgroup's name may have the mark in it: the kernel's own is the last.
    at = match[0].rfind(": cache:")
    return DumpLine(domain=unescape(match[1]), kinds=kinds_of_line(match[0][at:]) if at >= 0 else ())


def _counter(kind: str) -> Callable[[re.Match[str]], DumpLine]:
    return lambda match: DumpLine(kinds=((kind, int(match[1]) * 1024),))


def _reaped(match: re.Match[str]) -> Reaped | None:
    comm = comm_of(match["comm"])
    return None if comm is None else Reaped(int(match["pid"] or match["stuck"]), comm)


def _task_in(match: re.Match[str]) -> DumpLine:
    pairs = _splits(match[1], " killed as a result of limit of /")
    readings = (Reading(unescape(limit), unescape(task)) for task, limit in pairs if is_within(task, limit))
    return DumpLine(task_in=tuple(readings))


def _claim(match: re.Match[str]) -> Claim:
    body = match["body"]
    # A cgroup's name has no slash, so the (freely chosen) cpuset name before these marks can't contain one of them.
    marks = [(i, mark) for mark in (",oom_memcg=/", ",global_oom,task_memcg=/") if (i := body.find(mark)) >= 0]
    at, mark = min(marks, default=(-1, ""))
    is_global = mark.startswith(",global") if mark else None
    readings = tuple(_readings(body[at + len(mark) - 1 :], is_global=is_global)) if is_global is not None else ()
    if not readings:
        comms = [comm for _, end in _splits(body, ",task=") if (comm := comm_of(end)) is not None]
        readings = tuple(Reading(comm=comm) for comm in comms or [""])
    uid = int(match["uid"]) % (1 << 32)  # printed with %d: from 2^31 on it is negative
    return Claim(int(match["pid"]), readings, is_global, uid, match["constraint"])


def _readings(body: str, *, is_global: bool) -> list[Reading]:
    """All ways to take ``D,task_memcg=T,task=COMM`` or ``T,task=COMM`` apart; T lies in D or the line was garbled."""
    found: list[Reading] = []
    for paths, end in _splits(body, ",task="):
        if (comm := comm_of(end)) is None:
            continue
        if is_global:
            found.append(Reading(None, unescape(paths), comm))
        else:
            pairs = _splits(paths, ",task_memcg=/")
            found += [Reading(unescape(top), unescape(task), comm) for top, task in pairs if is_within(task, top)]
    return found


def _splits(text: str, mark: str) -> list[tuple[str, str]]:
    """What stands before and behind the mark, at each of its places; a slash at its end belongs to what stands behind."""
    places = [m.start() for m in re.finditer(f"(?={re.escape(mark)})", text)]
    return [(text[:i], text[i + len(mark.removesuffix("/")) :]) for i in places]


def _killed(match: re.Match[str]) -> Killed | None:
    if (comm := comm_of(match["comm"])) is None:
        return None
    kinds = [kind for kind in ("total_vm", "anon", "file", "shmem") if match[kind] is not None]
    sizes = {f"{kind}_bytes": int(match[kind]) * 1024 for kind in kinds}
    uid, adj = (int(text) if text else None for text in (match["uid"] or match["old_uid"], match["adj"]))
    return Killed(Victim(int(match["pid"]), comm, uid, oom_score_adj=adj, **sizes), _is_global(match["why"]))


def _sacrifice(match: re.Match[str]) -> Claim | None:
    if (comm := comm_of(match["comm"])) is None:
        return None
    return Claim(int(match["pid"]), (Reading(comm=comm),), _is_global(match["why"]), sacrifice=True)


def _is_global(why: str | None) -> bool | None:
    return why.startswith("Out") if why else None


_WHY = r"(?P<why>Memory cgroup out of memory|Out of memory(?: \(oom_kill_allocating_task\))?): "
_CLAIM = r"oom-kill:(?:constraint=(?P<constraint>[A-Z_]+),nodemask=|,)(?P<body>.*,task=.*),pid=(?P<pid>\d{1,10}),uid=(?P<uid>-?\d{1,10})"
_KILLED = (
    rf"(?:{_WHY})?Killed process (?P<pid>\d{{1,10}}) \((?P<comm>.*)\)(?:, UID (?P<old_uid>\d{{1,10}}),)? "
    r"total-vm:(?P<total_vm>\d{1,18})kB, anon-rss:(?P<anon>\d{1,18})kB, file-rss:(?P<file>\d{1,18})kB"
    r"(?:, shmem-rss:(?P<shmem>\d{1,18})kB)?"
    r"(?:, UID:(?P<uid>\d{1,10}) pgtables:\d+kB oom_score_adj:(?P<adj>-?\d{1,5}))?(?:[ ,].*)?"
)
_INVOKED = re.compile(r".{0,60}? invoked oom-killer: gfp_mask=")
_IN_PIECES = ("oom-kill:constraint=", "oom-kill:,", "Tasks in ", "Task in ", "Memory cgroup stats for ")
_HEADS = (
    *_IN_PIECES,
    "Memory cgroup out",
    "Out of memory",
    "Killed process ",
    "OOM victim ",
    "[  pid",
    "[ pid",
    "oom_reaper: ",
)
_STARTS = (*_HEADS, *(f"{kind}: usage " for kind in ("memory", KMEM, "swap", MEMSW)))
_Forms = tuple[tuple[str, ...], tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Line | None]], ...]]
# The letters that a line of this form may begin with, its form, and what it says.
_LINES: tuple[tuple[str, str, Callable[[re.Match[str]], Line | None]], ...] = (
    ("o", _CLAIM, _claim),
    ("KMO", _KILLED, _killed),
    (
        "MO",
        _WHY + r"Kill process (?P<pid>\d{1,10}) \((?P<comm>.*)\) (?:\[.*\] )?score \d+ or sacrifice child",
        _sacrifice,
    ),
    (
        "MO",
        rf"(?:{_WHY})?OOM victim (\d{{1,10}}) \(.*\) is already exiting\. Skip killing the task",
        lambda m: Skipped(int(m[2])),
    ),
    ("O", r"Out of memory and no killable processes.*", lambda _: NoVictim()),
    ("T", r"Tasks in (/.*) are going to be killed due to memory\.oom\.group set", lambda m: GroupKill(unescape(m[1]))),
    ("T", r"Task in (/.* killed as a result of limit of /.*)", _task_in),
    ("m", r"memory: usage (\d{1,18})kB, limit (\d{1,18})kB, failcnt \d+", _usage),
    ("M", r"Memory cgroup stats for (/.*?)(?::|: cache:\d+KB .*)", _stats),
    *(
        (kind[0], rf"{re.escape(kind)}: usage (\d{{1,15}})kB, limit \d{{1,18}}kB, failcnt \d+", _counter(kind))
        for kind in (KMEM, "swap", MEMSW)
    ),
    (
        "o",
        r"oom_reaper: (?:reaped process (?P<pid>\d{1,10})|unable to reap pid:(?P<stuck>\d{1,10})) \((?P<comm>.*)\)(?:, now anon-rss:.*)?",
        _reaped,
    ),
    ("[", r"\[ +pid +\] +((?:[a-z_]+ +)*)name", lambda m: DumpLine(columns=tuple(m[1].split()))),
)
_FORMS: dict[str, _Forms] = {
    letter: (
        tuple(start for start in _STARTS if start[0] == letter),
        tuple((re.compile(pattern), line_of) for letters, pattern, line_of in _LINES if letter in letters),
    )
    for letter in {start[0] for start in _STARTS}
}
