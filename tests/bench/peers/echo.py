"""The least possible work, as the floor of the agent's times: wait for one file's change by inotify, write 0.

``python -m tests.bench.peers.echo FILE``, at the agent's own nice value. The agent's own part is the time
above the floor; the floor is the machine's, its load's and Python's.
"""

from __future__ import annotations

import os
import sys

from inotify_simple import INotify, flags

NICE = -15


def main() -> None:
    """Until it is killed."""
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    file = os.open(sys.argv[1], os.O_RDWR)
    changes = INotify()
    changes.add_watch(sys.argv[1], flags.MODIFY)
    print("ready", flush=True)
    while True:
        changes.read()
        if os.pread(file, 2, 0) != b"0\n":
            os.pwrite(file, b"0\n", 0)


if __name__ == "__main__":
    main()
