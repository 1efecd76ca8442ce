"""For ``gcc -wrapper``: makes the real compiler a hungry one.

Of those that ``make -j`` runs side by side, the first three take MIB MiB each and keep them, and the fourth wants LARGE_MIB, for which
there is no room beside them. One that make runs alone takes LARGE_MIB, and has the room. The fourth waits at the gate before it takes
its memory, all others at another until they may go on.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys

MEMORY: list[mmap.mmap] = []


def take(name: str) -> None:
    """What the environment variable says, in MiB."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    MEMORY.append(mmap.mmap(-1, int(os.environ[name]) << 20, flags=flags))


def wait_at(gate: str) -> None:
    with open(f"/gate/{gate}", "rb", buffering=0) as file:  # noqa: PTH123 - pathlib takes longer to import than all the rest here
        file.read(1)


def beside_others() -> None:
    """One after the other, so that the fourth comes when the first three have taken theirs."""
    with open("/tmp/turns", "ab", buffering=0) as turns:  # noqa: PTH123
        fcntl.flock(turns, fcntl.LOCK_EX)
        turns.write(b".")
        turn = os.fstat(turns.fileno()).st_size
        if turn < 4:
            take("MIB")
        elif turn == 4:
            wait_at("large")
            take("LARGE_MIB")
    wait_at("rest")


if os.path.basename(sys.argv[1]) == "cc1":
    if "--jobserver" in os.environ.get("MAKEFLAGS", ""):
        beside_others()
    else:
        take("LARGE_MIB")
os.execvp(sys.argv[1], sys.argv[1:])
