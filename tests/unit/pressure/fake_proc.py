"""A /proc of ordinary files, as far as the processes of containers are read from it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from agent.kernel.processes import PAGE

CONTAINER = "kubepods/pod11111111-2222-3333-4444-555555555555/" + "a" * 64


class FakeProc:
    """Processes are added and end; ``pids`` are those of the container."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.pids: list[int] = []

    def add(
        self,
        pid: int,
        argv: Sequence[str | bytes] = (),
        *,
        comm: str | bytes = "python3",
        parent: int = 0,
        start: int = 1000,
        pages: int = 100,
        state: str = "S",
        cgroup: str = CONTAINER,
    ) -> None:
        """A process, in place of one with this pid."""
        at = self.folder / str(pid)
        at.mkdir(exist_ok=True)
        name = os.fsencode(comm)
        fields = f" {state} {parent} 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 {pages} 0 0 0 0 0 0 0 0 0 0 0"
        (at / "stat").write_bytes(b"%d (%s)" % (pid, name) + fields.encode() + b" 0" * 18 + b"\n")
        (at / "statm").write_text(f"{pages * 3} {pages} 1 1 0 1 0\n")
        (at / "cmdline").write_bytes(b"".join(os.fsencode(one) + b"\0" for one in argv))
        (at / "cgroup").write_text(f"0::/{cgroup}\n")
        if pid not in self.pids:
            self.pids.append(pid)

    def kill(self, pid: int) -> None:
        """It ends: its memory and arguments are gone, its parent has not taken its status yet."""
        at = self.folder / str(pid)
        text = (at / "stat").read_bytes()
        front, back = text[: text.rindex(b")") + 1], text[text.rindex(b")") + 1 :].split()
        back[0], back[21] = b"Z", b"0"
        (at / "stat").write_bytes(front + b" " + b" ".join(back) + b"\n")
        (at / "statm").write_text("0 0 0 0 0 0 0\n")
        (at / "cmdline").write_bytes(b"")
        self.pids.remove(pid)

    def reap(self, pid: int) -> None:
        shutil.rmtree(self.folder / str(pid))
        self.pids = [one for one in self.pids if one != pid]


def mib(size: int) -> int:
    """Pages."""
    return (size << 20) // PAGE
