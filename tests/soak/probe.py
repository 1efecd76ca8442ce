"""The honest side's eyes, a process of its own: ``python -m tests.soak.probe PID PORT STATE``.

It comes before all others of the machine, so that it is late only when the machine itself doesn't run. Reads lines of JSON from standard
input, each a container to look at (``{"id", "path"}``), until that ends. Writes a line of JSON for all that it sees; times are
CLOCK_MONOTONIC:

- ``late``: at, seconds: the heartbeat was late; ``idle``: at, seconds for which the machine had nothing to do since its boot;
- ``kill``: id, the looks before (0: there was none) and after, oom_kill, oom_group_kill: the kernel's counter rose;
- ``scrape``: path, began, ended, status, and for /metrics the kills by pod and scope of namespaces that begin with ``honest``;
- ``agent``: at, resident bytes, those of no file, descriptors, threads, inotify watches, bytes of its state folder, CPU seconds; cgroups of
  the machine.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.bench.processes import memory_status, usage
from tests.lab.cgroups import MOUNT, memory_events
from tests.soak.host import EVERY_S, idle_s

BEAT_S, LOOK_S, SCRAPE_S, AGENT_S = 0.02, 0.05, 1.0, 2.0
TIMEOUT_S = 30.0
PAGES = ("/metrics", "/healthz", "/readyz")
HONEST = b'namespace="honest'
KILLS = b"oomward_oom_kills_total{"
LABEL = re.compile(r'(\w+)="([^"]*)"')


class Probe:
    """Its threads write one line at a time."""

    def __init__(self, pid: int, port: int, state: Path) -> None:
        self._pid, self._port, self._state = pid, port, state
        self._paths: dict[str, str] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def run(self) -> None:
        """Until standard input ends."""
        threads = [
            threading.Thread(target=self._beat),
            threading.Thread(target=self._look),
            threading.Thread(target=self._usage),
        ]
        threads += [threading.Thread(target=self._scrape, args=(page,)) for page in PAGES]
        for thread in threads:
            thread.start()
        for line in sys.stdin:
            container = json.loads(line)
            self._paths[container["id"]] = container["path"]
        self._over.set()
        for thread in threads:
            thread.join()

    def _write(self, kind: str, *values: Any) -> None:
        with self._lock:
            print(json.dumps([kind, *values]), flush=True)

    def _beat(self) -> None:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))
        idle_at_s = 0.0
        while not self._over.is_set():
            due_s = time.monotonic() + BEAT_S
            time.sleep(BEAT_S)
            if (late_s := (now_s := time.monotonic()) - due_s) > BEAT_S / 2:
                self._write("late", now_s, late_s)
            if now_s >= idle_at_s:
                idle_at_s = now_s + EVERY_S
                self._write("idle", now_s, idle_s())

    def _look(self) -> None:
        counts: dict[str, tuple[int, int]] = {}
        before_s = time.monotonic()
        while not self._over.wait(LOOK_S):
            for container_id, path in list(self._paths.items()):
                if not (events := memory_events(path)):
                    del self._paths[container_id]  # it is removed
                    continue
                found = events["oom_kill"], events.get("oom_group_kill", 0)
                known = counts.get(container_id)
                counts[container_id] = found
                if found != (known or (0, 0)):
                    self._write("kill", container_id, 0.0 if known is None else before_s, time.monotonic(), *found)
            before_s = time.monotonic()

    def _scrape(self, path: str) -> None:
        due_s = time.monotonic()
        while not self._over.wait(max(0.0, due_s - time.monotonic())):
            due_s = max(due_s + SCRAPE_S, time.monotonic())
            began_s = time.monotonic()
            status, body = self._get(path)
            self._write(
                "scrape",
                path,
                began_s,
                time.monotonic(),
                status,
                kills_of_honest(body) if path == "/metrics" else len(body),
            )

    def _get(self, path: str) -> tuple[int, bytes]:
        """As Prometheus and the kubelet ask; 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path, headers={"Accept-Encoding": "gzip"} if path == "/metrics" else {})
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, gzip.decompress(body) if answer.getheader("Content-Encoding") == "gzip" else body
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def _usage(self) -> None:
        while not self._over.wait(AGENT_S):
            with suppress(OSError):
                seen = usage(self._pid)
                stored = sum(file.stat().st_size for file in self._state.iterdir() if file.is_file())
                cgroups = int(
                    dict(line.split() for line in (MOUNT / "cgroup.stat").read_text().splitlines())["nr_descendants"]
                )
                sizes = seen.descriptors, seen.threads, watches(self._pid), stored, seen.cpu_s, cgroups
                self._write("agent", seen.at_s, seen.rss_bytes, anonymous_bytes(self._pid), *sizes)


def anonymous_bytes(pid: int) -> int:
    """Resident, and of no file (proc(5), status). Raises OSError if the process has ended."""
    return int(memory_status(pid)["RssAnon"].split()[0]) << 10


def watches(pid: int) -> int:
    """Of inotify, by the kernel's list (proc(5), fdinfo)."""
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if "inotify" in str(link.readlink()):
                found += Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().count("inotify ")
    return found


def kills_of_honest(page: bytes) -> dict[str, int]:
    """``pod scope`` → processes killed."""
    found: Counter[str] = Counter()
    for line in page.splitlines():
        if line.startswith(KILLS) and HONEST in line:
            labels = dict(LABEL.findall(line.decode()))
            found[f"{labels['pod']} {labels['scope']}"] += int(float(line.rsplit(b" ", 1)[1]))
    return {key: count for key, count in found.items() if count}


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    Probe(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])).run()
