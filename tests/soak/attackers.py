"""Hostile processes that need nothing of the lab: ``python -m tests.soak.attackers ATTACK …``, until they are killed.

- ``unread PORT RATE``: requests per second for /metrics, of which no answer is read; each connection is kept as long as the agent does;
- ``dribble PORT``: clients that send a request byte by byte;
- ``forge``: forged OOM reports into /dev/kmsg, a steady flow and bursts that fill the log.
"""

from __future__ import annotations

import itertools
import os
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

MOST_KEPT = 200
DRIBBLERS, DRIBBLE_S = 8, 0.5
FORGED_PER_S, BURST, BURST_EVERY_S = 100, 3000, 20.0
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: node\r\n"
FORGED = (
    "<3>Memory cgroup out of memory: Killed process 1 (systemd) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:0 "
    "pgtables:0kB oom_score_adj:0",
    "<6>oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/{0},task_memcg=/{0},task=forged,pid=1,uid=0",
    "<6>Tasks in /{0} are going to be killed due to memory.oom.group set",
    "<4>forged invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    "<6>Out of memory: Killed process 1 (forged)",
    "<4>" + "x" * 900,
)


def unread(port: int, per_s: int) -> None:
    """The receive buffer is small, so that the agent can't get rid of its answer either."""
    kept: deque[socket.socket] = deque()
    while True:
        with suppress(OSError):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(1.0)
            client.connect(("127.0.0.1", port))
            client.sendall(REQUEST + b"\r\n")
            kept.append(client)
        if len(kept) > MOST_KEPT:
            kept.popleft().close()
        time.sleep(1 / per_s)


def dribble(port: int) -> None:
    """Each of them sends its next byte every half second, and comes back when it was disconnected."""
    clients: list[tuple[socket.socket, int]] = []
    while True:
        going = []
        for client, sent in clients:
            with suppress(OSError):
                client.send(REQUEST[sent : sent + 1])
                going.append((client, (sent + 1) % len(REQUEST)))
        clients = going
        with suppress(OSError):  # there is no agent just now
            while len(clients) < DRIBBLERS:
                clients.append((socket.create_connection(("127.0.0.1", port), 1.0), 0))
        time.sleep(DRIBBLE_S)


def forge() -> None:
    """About containers that run, as their paths are in /proc."""
    Path("/proc/sys/kernel/printk_devkmsg").write_text("on\n")
    log = os.open("/dev/kmsg", os.O_WRONLY)
    burst_s = time.monotonic()
    for number in itertools.count():
        lines = BURST if (now_s := time.monotonic()) >= burst_s else FORGED_PER_S // 10
        burst_s = now_s + BURST_EVERY_S if lines == BURST else burst_s
        found = victims() or ["kubepods"]
        path = found[number % len(found)]
        for each in range(lines):
            os.write(log, FORGED[each % len(FORGED)].format(path).encode() + b"\n")
        time.sleep(0.1)


def victims() -> list[str]:
    """Cgroups of containers; none where one was removed meanwhile."""
    with suppress(FileNotFoundError):
        scopes = Path("/sys/fs/cgroup/kubepods.slice").glob("*/*/*.scope")
        return [str(folder.relative_to("/sys/fs/cgroup")) for folder in scopes]
    return []


if __name__ == "__main__":
    attack, *rest = sys.argv[1:]
    {"unread": unread, "dribble": dribble, "forge": forge}[attack](*map(int, rest))  # type: ignore[operator]
