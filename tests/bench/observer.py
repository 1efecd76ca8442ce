"""Notes every write to a memory.oom.group of the node: when, by whom, which. A process of its own that comes before all others.

``python -m tests.bench.observer MOUNT OUT``: READY beside OUT when it watches, its notes as JSON in OUT after SIGTERM.
It runs under SCHED_FIFO, so what it notes is in the order in which it happened; its own time (about 0.2 ms a write on
User-Mode Linux) is part of what it measures.
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

KNOB = "/memory.oom.group"
STARTED_S = 60.0


class EndedError(Exception):
    """Somebody asked us to end."""


@dataclass(frozen=True, slots=True)
class Noted:
    """One write to a cgroup's knob."""

    at_ns: int
    pid: int


class Observer:
    """The process, seen from outside."""

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
        """Its notes by the cgroup's path, in order."""
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
            knobs = [(w.at_ns, w.pid, w.path.removesuffix(KNOB)) for w in noted if w.path.endswith(KNOB)]
            out.write_text(json.dumps(knobs))


if __name__ == "__main__":
    main()
