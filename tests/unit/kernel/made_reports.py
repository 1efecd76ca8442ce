"""OOM reports as a kernel would print them, with what they mean: the material of the tests of this room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent.kernel.oom_blocks import OomBlocks
from agent.kernel.oom_report import reports_of
from agent.model import KmsgGap, KmsgRecord, OomReport, Victim

PAGE = 4096
LONG_US = 60_000_000


def escape(raw: bytes) -> str:
    r"""As devkmsg_read writes it: below 0x20, from 0x7f on and the backslash as ``\xNN``."""
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in raw)


def shown(raw: bytes) -> str:
    """A comm as a Victim carries it."""
    return raw.decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Process:
    """A victim: ``anon_pages`` stands for all its memory."""

    pid: int
    comm: bytes = b"worker"
    uid: int = 1000
    anon_pages: int = 300

    def killed(self, why: str) -> str:
        kb = self.anon_pages * 4
        return (
            f"{why}: Killed process {self.pid} ({escape(self.comm)}) total-vm:{kb + 40}kB, anon-rss:{kb}kB, file-rss:8kB, "
            f"shmem-rss:0kB, UID:{self.uid} pgtables:88kB oom_score_adj:7"
        )

    def row(self) -> str:
        pages = f"{self.anon_pages + 10:8d} {self.anon_pages + 2:8d}"
        return (
            f"[{self.pid:7d}] {self.uid:5d} {self.pid:5d} {pages}    90112        0             7 {escape(self.comm)}"
        )

    def victim(self) -> Victim:
        size = self.anon_pages * PAGE
        return Victim(self.pid, shown(self.comm), self.uid, size + 40 * 1024, size, 8 * 1024, 0, 7)


@dataclass(frozen=True)
class Kill:
    """One OOM kill of a 5.4 to 6.7 kernel. ``domain`` None: global. ``group``: the cgroup killed as one, with ``members``."""

    first: Process
    task_memcg: str
    domain: str | None
    members: tuple[Process, ...] = ()
    group: str | None = None
    reprint_at: int = 0
    limit_kb: int = 20480
    dump: bool = field(default=True)

    @property
    def why(self) -> str:
        return "Out of memory" if self.domain is None else "Memory cgroup out of memory"

    def claim(self) -> str:
        where = "global_oom" if self.domain is None else f"oom_memcg={self.domain}"
        constraint = "CONSTRAINT_NONE" if self.domain is None else "CONSTRAINT_MEMCG"
        first = self.first
        return (
            f"oom-kill:constraint={constraint},nodemask=(null),cpuset=c,mems_allowed=0,{where},task_memcg={self.task_memcg},"
            f"task={escape(first.comm)},pid={first.pid},uid={first.uid}"
        )

    def dump_lines(self) -> list[str]:
        usage = [] if self.domain is None else [f"memory: usage {self.limit_kb}kB, limit {self.limit_kb}kB, failcnt 7"]
        stats = [] if self.domain is None else [f"Memory cgroup stats for {self.domain}:", "anon 1\\x0afile 2"]
        return [
            f"{escape(self.first.comm)} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
            f"CPU: 1 PID: {self.first.pid} Comm: {escape(self.first.comm)} Not tainted 6.1.0 #1",
            *usage,
            *stats,
            "Tasks state (memory values in pages):",
            "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
            *(process.row() for process in (self.first, *self.members)),
            self.claim(),
        ]

    def kill_lines(self) -> list[str]:
        lines = [self.first.killed(self.why)]
        if self.group is not None:
            lines.append(f"Tasks in {self.group} are going to be killed due to memory.oom.group set")
            inside = [process.killed(self.why) for process in self.members]
            inside.insert(min(self.reprint_at, len(inside)), lines[0])
            lines += inside
        return lines

    def lines(self) -> list[str]:
        return [*(self.dump_lines() if self.dump else ()), *self.kill_lines()]

    def pids(self) -> set[int]:
        return {self.first.pid, *(process.pid for process in self.members)}


def records(lines: Iterable[str], sequence: int = 1, at_us: int = 1_000_000, step_us: int = 20) -> list[KmsgRecord]:
    """The lines as records of the kernel's own facility."""
    return [
        KmsgRecord(sequence + i, at_us + i * step_us, 0, 6, fragment=False, text=line) for i, line in enumerate(lines)
    ]


class Clock:
    """CLOCK_MONOTONIC by hand."""

    def __init__(self) -> None:
        self.now_us = 0

    def __call__(self) -> int:
        return self.now_us


class Assembler(OomBlocks):
    """The blocks as reports."""

    def reports(self, item: KmsgRecord | KmsgGap) -> list[OomReport]:
        return [report for block in self.feed(item) for report in reports_of(block)]

    def rest(self, now_us: int | None = None) -> list[OomReport]:
        return [report for block in self.flush(now_us) for report in reports_of(block)]


def new_assembler() -> Assembler:
    """One that has just begun to read: it can't know what the kernel printed before."""
    return Assembler(PAGE, Clock())


def settled_assembler() -> tuple[Assembler, Clock]:
    """One that has been reading for a minute."""
    clock = Clock()
    assembler = Assembler(PAGE, clock)
    clock.now_us = LONG_US
    return assembler, clock


def assemble(items: Sequence[KmsgRecord | KmsgGap], assembler: Assembler | None = None) -> list[OomReport]:
    """All reports of these items, by a settled assembler unless another is given."""
    assembler = assembler or settled_assembler()[0]
    return [*(report for item in items for report in assembler.reports(item)), *assembler.rest()]
