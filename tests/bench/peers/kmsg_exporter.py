"""A kmsg-only OOM exporter: pod and container from the ``oom-kill:`` line's task_memcg, one counter per container.

Stands for github.com/sapcc/kubernetes-oomkill-exporter and similar tools, which match that one line and add one for
the container id in it. Better than those: all layouts are understood (Guaranteed pods, static pods, CRI-O, crun's
child), and ids need no runtime to be resolved. Writes its counts to a file when it ends.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

LINE = re.compile(rb";oom-kill:.*,task_memcg=\S*?pod[0-9a-f_-]+(?:\.slice)?/(?:[a-z-]+-)?([0-9a-f]{64})")
LONGEST_RECORD = 8192


class EndedError(Exception):
    """SIGTERM."""


def container_of(record: bytes) -> str | None:
    """The container's id in a kmsg record; None: another line, or no container."""
    match = LINE.search(record)
    return match[1].decode() if match is not None else None


def count(log: int, counts: Counter[str]) -> None:
    """Every record from now on, until EndedError."""
    while True:
        try:
            record = os.read(log, LONGEST_RECORD)
        except BrokenPipeError:
            continue  # overrun: the next read gives the oldest record that is left
        if (container_id := container_of(record)) is not None:
            counts[container_id] += 1


def end(_signum: int, _frame: FrameType | None) -> None:
    raise EndedError


def main() -> None:
    """Until SIGTERM."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--out", type=Path, required=True)
    asked = top.parse_args()
    counts: Counter[str] = Counter()
    log = os.open("/dev/kmsg", os.O_RDONLY)
    os.lseek(log, 0, os.SEEK_END)
    signal.signal(signal.SIGTERM, end)
    asked.out.with_suffix(".ready").touch()
    try:
        count(log, counts)
    except EndedError:
        asked.out.write_text(json.dumps(counts))


if __name__ == "__main__":
    main()
