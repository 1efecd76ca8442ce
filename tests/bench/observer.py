"""Records every write to a memory.oom.group of the node: time, process, file. A separate process with the highest priority.

``python -m tests.bench.observer MOUNT OUT`` creates OUT with suffix .ready when it watches, and writes its records to OUT at SIGTERM.
It runs under SCHED_FIFO, so the records are in order; its own time (about 0.2 ms per write on User-Mode Linux) is included in
the measured times.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.lab.boot import REPO
from tests.lab.writes import Write, Writes

OOM_GROUP = "/memory.oom.group"
STARTED_S = 60.0


class EndedError(Exception):
    """SIGTERM."""


@dataclass(frozen=True, slots=True)
class Noted:
    """One write to a cgroup's memory.oom.group."""

    at_ns: int
    pid: int


class Observer:
    """The observer's process."""

    def __init__(self, mount: Path, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._out = work / "writes.json"
        command = [sys.executable, "-m", "tests.bench.observer", str(mount), str(self._out)]
        self._process = subprocess.Popen(command, cwd=REPO, stdin=subprocess.DEVNULL)
        until = time.monotonic() + STARTED_S
        while not self._out.with_suffix(".ready").exists():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the observer does not run: it needs root and fanotify")
            time.sleep(0.05)

    def end(self) -> dict[str, list[Noted]]:
        """Its records by the cgroup's path, in order."""
        self._process.terminate()
        self._process.wait(30)
        found: dict[str, list[Noted]] = defaultdict(list)
        for at_ns, pid, path in json.loads(self._out.read_text()):
            found[path].append(Noted(at_ns, pid))
        return found


def end(_signum: int, _frame: FrameType | None) -> None:
    raise EndedError


def main() -> None:
    """Until SIGTERM."""
    mount, out = Path(sys.argv[1]), Path(sys.argv[2])
    writes, noted = Writes(mount), list[Write]()
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    gc.disable()
    signal.signal(signal.SIGTERM, end)
    with selectors.DefaultSelector() as selector:
        selector.register(writes.fileno(), selectors.EVENT_READ)
        out.with_suffix(".ready").touch()
        try:
            while True:
                selector.select()
                noted += writes.read()
        except EndedError:
            found = [(w.at_ns, w.pid, w.path.removesuffix(OOM_GROUP)) for w in noted if w.path.endswith(OOM_GROUP)]
            out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
