"""For ``gcc -wrapper``: makes the real compiler a hungry one, which takes MIB MiB and keeps them until one of its like was killed."""

from __future__ import annotations

import mmap
import os
import sys
import time

EVENTS = "/sys/fs/cgroup/memory.events"  # the container's own


def nobody_was_killed() -> bool:
    with open(EVENTS) as file:  # noqa: PTH123 - pathlib takes longer to import than all the rest here
        return "oom_kill 0\n" in file


if os.path.basename(sys.argv[1]) == "cc1":
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    memory = mmap.mmap(-1, int(os.environ["MIB"]) << 20, flags=flags)
    while nobody_was_killed():
        time.sleep(0.05)
os.execvp(sys.argv[1], sys.argv[1:])
