"""How long before the kill the warning comes, and whether a healthy container gets one.

``python -m tests.bench.pressure --runs 5`` measures leaks, ``--minutes 60`` healthy containers full of page cache; as root. The agent's
own code judges real cgroups with small limits. On a machine with PSI whose memory controller is on cgroup v1, each process is in a v1
cgroup and in a v2 one, which has PSI; there memory.failcnt, read every 10 ms, stands for v2's notifications. Elsewhere (in the lab):
the notifications of v2 or v1. Prints Markdown.

In the lab: ``python -m tests.lab boot --out build/lab/pressure -- .venv/bin/python -m tests.bench.pressure --runs 3 --directory
build/lab/pressure``, and the same with ``--cgroup v1``.
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from inotify_simple import INotify, flags

from agent.cgroup.files import CgroupFiles
from agent.cgroup.psi import Psi, has_psi
from agent.loop.v1 import V1Pressure
from agent.loop.waiting import Waiting
from agent.model import AtLimit, Cgroup, CgroupKind, CgroupPlace, Identity, OnStall, PressureRequest, StallPolicy
from agent.pressure.following import Pressure
from agent.pressure.policy import Judge
from agent.pressure.readings import Readings
from agent.pressure.report import Episode

MIB = 1 << 20
REQUEST = PressureRequest(stall=StallPolicy(OnStall.KILL_LARGEST))
TOP = Path("/sys/fs/cgroup")
V1 = (TOP / "memory" / "cgroup.procs").exists()
MEMORY = TOP / "memory" if V1 else TOP
UNIFIED = TOP / "unified"
LOOK_S = 0.01
LIMIT_MIB = 128
PATIENCE_S = 600.0

LEAK = """
import os, random, sys, time
rate, cached, start, path = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
page, held = os.sysconf("SC_PAGE_SIZE"), []
def eat():
    held.append(bytearray(1 << 20))
    held[-1][::page] = b"x" * len(held[-1][::page])
file = os.open(path, os.O_RDONLY) if cached else None
for _ in range(start):
    eat()
if file is not None:
    for at in range(0, cached << 20, 1 << 20):
        os.pread(file, 1 << 20, at)
began = time.monotonic()
grown = 0
while True:
    while rate == 0 or grown < (time.monotonic() - began) * rate:
        eat()
        grown += 1
    for _ in range(20 if file is not None else 0):
        os.pread(file, page, random.randrange((cached << 20) // page) * page)
    time.sleep(0.005)
"""
HEALTHY = {
    "random reads of a file of four times the limit": """
import os, random, sys, time
file, size = os.open(sys.argv[1], os.O_RDONLY), os.path.getsize(sys.argv[1])
while True:
    for _ in range(20):
        os.pread(file, 4096, random.randrange(size // 4096) * 4096)
    time.sleep(0.02)
""",
    "the same file read from front to back, again and again": """
import os, sys, time
file, size = os.open(sys.argv[1], os.O_RDONLY), os.path.getsize(sys.argv[1])
while True:
    for at in range(0, size, 1 << 20):
        os.pread(file, 1 << 20, at)
        time.sleep(0.02)
""",
    "a log of 10 MiB/s, rotated": """
import os, sys, time
line = os.urandom(1 << 16)
while True:
    with open(sys.argv[1] + ".log", "wb") as log:
        for _ in range(4096):
            log.write(line)
            time.sleep(1 / 160)
""",
    "a heap between 30 and 75 % of the limit, and a file read from front to back": """
import os, sys, time
file, size, held, at = os.open(sys.argv[1], os.O_RDONLY), os.path.getsize(sys.argv[1]), [], 0
limit = int(sys.argv[2])
while True:
    while len(held) < limit * 0.75:
        held.append(bytearray(b"x" * (1 << 20)))
        at = (at + (1 << 20)) % size
        os.pread(file, 1 << 20, at)
        time.sleep(0.05)
    del held[int(limit * 0.3):]
""",
    "a heap of 88 % of the limit, and a file read from front to back": """
import os, sys, time
file, size, held = os.open(sys.argv[1], os.O_RDONLY), os.path.getsize(sys.argv[1]), []
limit = int(sys.argv[2])
for _ in range(int(limit * 0.88) - 6):
    held.append(bytearray(b"x" * (1 << 20)))
while True:
    for at in range(0, size, 1 << 20):
        os.pread(file, 1 << 20, at)
        time.sleep(0.05)
""",
}


@dataclass(frozen=True, slots=True)
class Leak:
    """``rate_mib`` per second, 0: as fast as possible; ``cached_mib`` of page cache are in use beside it."""

    name: str
    rate_mib: float
    cached_mib: int
    start_mib: int


LEAKS = (
    Leak("leak of 1 MiB/s, a third of the limit is page cache in use", 1, LIMIT_MIB // 3, LIMIT_MIB // 2),
    Leak("leak of 10 MiB/s, likewise", 10, LIMIT_MIB // 3, LIMIT_MIB // 2),
    Leak("as fast as possible, likewise", 0, LIMIT_MIB // 3, LIMIT_MIB // 2),
    Leak("leak of 1 MiB/s, no page cache", 1, 0, LIMIT_MIB - 20),
    Leak("leak of 10 MiB/s, no page cache", 10, 0, LIMIT_MIB // 2),
    Leak("as fast as possible, no page cache", 0, 0, 0),
)


def enable_controller() -> None:
    """In the lab's root cgroup."""
    if not V1:
        (TOP / "cgroup.subtree_control").write_text("+memory")


@dataclass(eq=False)
class Pod:
    """A cgroup with a limit, and a process in it. ``began_s``: when pressure was seen first (monotonic)."""

    name: str
    command: list[str]
    limit_mib: int = LIMIT_MIB
    process: subprocess.Popen[bytes] | None = None
    began_s: float | None = None
    alarms: int = 0
    stalled_s: float = 0.0  # the longest stall

    def __post_init__(self) -> None:
        self.directories = [MEMORY / self.name, *([UNIFIED / self.name] if V1 and has_psi() else [])]
        for directory in self.directories:
            directory.mkdir()
        limit = "memory.limit_in_bytes" if V1 else "memory.max"
        (self.directories[0] / limit).write_text(str(self.limit_mib * MIB))
        inode = self.directories[0].stat().st_ino
        self.cgroup = Cgroup(CgroupPlace(self.name, CgroupKind.CONTAINER), inode)

    def start(self) -> None:
        procs = [str(directory / "cgroup.procs") for directory in self.directories]
        enter = "import os,sys\nfor p in sys.argv[1].split(','): open(p,'w').write(str(os.getpid()))\nos.execv(sys.argv[2],sys.argv[2:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", enter, ",".join(procs), sys.executable, "-c", *self.command]
        )

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for directory in self.directories:
            for _ in range(100):
                try:
                    directory.rmdir()
                    break
                except OSError:
                    time.sleep(0.02)


class _Unified(CgroupFiles):
    """The v2 hierarchy of a machine whose memory controller is on v1: the cgroups have other inodes there."""

    @contextmanager
    def directory(self, path: str, inode: int | None = None) -> Iterator[int]:
        with super().directory(path, None) as found:
            yield found


@dataclass(eq=False)
class Watcher:
    """The agent's pressure room on these pods, with stand-ins for names."""

    pods: dict[str, Pod]
    waiting: Waiting = field(default_factory=Waiting)
    checks: int = 0

    def __post_init__(self) -> None:
        files = CgroupFiles(MEMORY, "v1" if V1 else "v2")
        self.psi = None
        if has_psi():
            self.psi = Psi(_Unified(UNIFIED, "v2") if V1 else files, self.waiting, trouble)
        self.v1 = V1Pressure(MEMORY, trouble) if V1 and self.psi is None else None
        self.inotify = None if V1 else INotify()
        readings = Readings(
            files, self.psi.stalled_us if self.psi is not None else None, trouble, certain=self.v1 is None
        )
        stand_in = cast(Any, self)
        self.pressure = Pressure(
            stand_in, stand_in, stand_in, readings, self.psi, lambda *_: REQUEST, "all", stand_in, stand_in
        )
        self.files = files
        self.watches: dict[int, Pod] = {}
        self.counts: dict[str, int] = {}
        for pod in self.pods.values():
            if self.v1 is not None:
                self.v1.follow(pod.cgroup)
            elif self.inotify is not None:
                self.watches[self.inotify.add_watch(str(MEMORY / pod.name / "memory.events"), flags.MODIFY)] = pod
        for source in (self.v1, self.inotify):
            if source is not None:
                self.waiting.register(source.fileno(), select.EPOLLIN)

    # What Pressure asks of the other rooms.
    cgroups: dict[str, Cgroup] = field(default_factory=dict)
    pods_by_uid: dict[str, Any] = field(default_factory=dict)

    def names_at(self, path: str) -> Identity:
        return Identity("bench", path, path, "main", None)

    def limit_bytes(self, path: str) -> int | None:
        limit = self.files.limit_bytes(self.pods[path].cgroup)
        return limit if isinstance(limit, int) else None

    def alone(self, path: str) -> bool:
        return False

    def waits(self, _: Cgroup) -> bool:
        return False

    def consider(self, judge: Judge, container: Cgroup, *_: object) -> None:
        if judge.stalled_since_s is not None:
            pod = self.pods[container.path]
            pod.stalled_s = max(pod.stalled_s, time.monotonic() - judge.stalled_since_s)

    def pass_over(self, *_reading: object) -> None: ...

    def gone(self, _cgroup: Cgroup, _now_s: float) -> None: ...

    def goes_on(
        self, episode: Episode, _names: Any, reading: AtLimit, sample: Any, now_s: float, *, events: bool
    ) -> None:
        pod = self.pods[episode.container.path]
        if episode.named is None:
            episode.named = Identity("bench", pod.name, pod.name, "main")
            pod.alarms += 1
            pod.began_s = pod.began_s or time.monotonic()
            trouble(f"{pod.name}: pressure, {sample}, {reading.use}")

    def ended(self, _episode: Episode, _now_s: float) -> None: ...

    def turn(self) -> None:
        """As the loop's: wait, and then what is due."""
        due_s = self.pressure.due_s()
        wait_s = 0.2 if due_s is None else min(0.2, max(0.0, due_s - time.monotonic()))
        native = V1 and self.psi is not None
        ready = self.waiting.wait(min(wait_s, LOOK_S) if native else wait_s)
        now = time.monotonic()
        self.pressure.signalled(ready, now)
        for cgroup in self._reached(native, now):
            self.pressure.reached(cgroup, now)
        self.pressure.collect(now)

    def _reached(self, native: bool, now: float) -> list[Cgroup]:
        if self.v1 is not None:
            return self.v1.read(now)
        if self.inotify is not None:
            return [self.watches[event.wd].cgroup for event in self.inotify.read(timeout=0) if event.wd in self.watches]
        found = []
        for pod in self.pods.values():
            count = int((MEMORY / pod.name / "memory.failcnt").read_text())
            if count > self.counts.get(pod.name, 0):
                found.append(pod.cgroup)
            self.counts[pod.name] = count
        return found

    def close(self) -> None:
        for pod in self.pods.values():
            self.pressure.gone(pod.cgroup, time.monotonic())
        if self.psi is not None:
            self.psi.close()
        if self.v1 is not None:
            self.v1.close()
        self.waiting.close()


def run_leak(leak: Leak, number: int, path: Path) -> tuple[float | None, float]:
    """How long before the kill the warning came (None: there was none), and how long the process ran, in seconds."""
    drop_cache(path)
    arguments = [LEAK, str(leak.rate_mib), str(leak.cached_mib), str(leak.start_mib), str(path)]
    pod = Pod(f"oomward-bench-{os.getpid()}-{number}", arguments)
    watcher = Watcher({pod.name: pod})
    try:
        began = time.monotonic()
        pod.start()
        assert pod.process is not None
        pidfd = os.pidfd_open(pod.process.pid)
        watcher.waiting.register(pidfd)
        while pod.process.poll() is None and time.monotonic() - began < PATIENCE_S:
            watcher.turn()
        died = time.monotonic()
        watcher.waiting.unregister(pidfd)
        os.close(pidfd)
        return None if pod.began_s is None or pod.began_s > died else died - pod.began_s, died - began
    finally:
        watcher.close()
        pod.end()


def drop_cache(path: Path) -> None:
    """The file's pages are charged to who reads them first: not to an earlier run's cgroup, or ours."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run_healthy(minutes: float, directory: Path) -> list[tuple[str, int, float, float]]:
    """Each healthy workload, how often it was said to be under pressure, its longest stall in seconds, and how often its limit was
    reached, per second."""
    pods = {}
    for number, (name, program) in enumerate(HEALTHY.items()):
        path = directory / f"healthy-{number}"
        make_file(path, LIMIT_MIB * 4)
        drop_cache(path)
        pods[name] = Pod(f"oomward-bench-{os.getpid()}-h{number}", [program, str(path), str(LIMIT_MIB)])
    watcher = Watcher({pod.name: pod for pod in pods.values()})
    try:
        for pod in pods.values():
            pod.start()
        began = time.monotonic()
        while time.monotonic() - began < minutes * 60:
            watcher.turn()
        passed = time.monotonic() - began
        found = []
        for name, pod in pods.items():
            hits = watcher.files.times_at_limit(pod.cgroup)
            assert pod.process is not None
            assert pod.process.poll() is None, f"{name} ended"
            found.append((name, pod.alarms, pod.stalled_s, (hits if isinstance(hits, int) else 0) / passed))
        return found
    finally:
        watcher.close()
        for pod in pods.values():
            pod.end()


def make_file(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))


def where() -> str:
    """The place, for the table's heading."""
    kernel = os.uname().release
    return f"Linux {kernel}, {'with PSI' if has_psi() else 'no PSI'}, cgroup {'v1' if V1 else 'v2'}"


def spread(found: list[float | None]) -> str:
    known = sorted(each for each in found if each is not None)
    if not known:
        return "no warning"
    missed = len(found) - len(known)
    shown = f"{known[0]:.2f} to {known[-1]:.2f} s, median {statistics.median(known):.2f} s"
    return shown + (f"; {missed} of {len(found)} without a warning" if missed else "")


def trouble(why: object) -> None:
    print(why, file=sys.stderr, flush=True)


say = partial(print, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=0, help="of each leak")
    parser.add_argument("--minutes", type=float, default=0.0, help="of healthy containers")
    parser.add_argument(
        "--directory", type=Path, default=Path("/var/tmp"), help="for files, on a disk; in the lab: --out's"
    )
    options = parser.parse_args()
    enable_controller()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        if options.runs:
            path = directory / "cached"
            make_file(path, LIMIT_MIB)
            say(f"| {where()}; limit {LIMIT_MIB} MiB | warning before the kill, {options.runs} runs |\n|---|---|")
            for kind, leak in enumerate(LEAKS):
                leads = [run_leak(leak, kind * 1000 + number, path)[0] for number in range(options.runs)]
                say(f"| {leak.name} | {spread(leads)} |")
        if options.minutes:
            say(
                f"\n| {where()}; {options.minutes:g} minutes | warnings | longest stall | limit reached |\n|---|---|---|---|"
            )
            for what, alarms, stalled_s, per_s in run_healthy(options.minutes, directory):
                say(f"| {what} | {alarms} | {stalled_s:.1f} s | {per_s:.0f} times per second |")


if __name__ == "__main__":
    main()
