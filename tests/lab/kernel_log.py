"""Whom the OOM killer took, by the kernel's own log: what the agent reports is compared with it.

Reads ``dmesg``; shares no code with the agent on purpose.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

STAMP = re.compile(r"\[ *[0-9.]+\] ")
NAMED = re.compile(r"oom-kill:constraint=.*task_memcg=/(\S*),task=.*,pid=([0-9]+),uid=[0-9]+$")
GROUP = re.compile(r"Tasks in /(\S*) are going to be killed due to memory.oom.group set$")
KILLED = re.compile(r"(?:Memory cgroup out|Out) of memory: Killed process ([0-9]+) \((.*)\) total-vm:")


@dataclass(frozen=True, slots=True)
class Killed:
    """One process. ``path``: its cgroup below the mount, in a group kill the cgroup of the group."""

    path: str
    pid: int
    comm: str


def killed(path: str) -> list[Killed]:
    """All in the cgroup at ``path`` or below it since the machine booted, in the kernel's order. Raises ValueError, see ``parse``."""
    done = subprocess.run(["dmesg"], capture_output=True, text=True, errors="replace", check=True)
    return [one for one in parse(done.stdout.splitlines()) if one.path == path or one.path.startswith(f"{path}/")]


def parse(lines: Iterable[str]) -> list[Killed]:
    """Each process once: in a group kill the first victim has two lines.

    Raises ValueError where a process can't be given a cgroup, since the line that names it is missing: the kernel prints ten of
    these in five seconds.
    """
    found: dict[int, Killed] = {}
    named: tuple[str, int] | None = None
    group: str | None = None
    for line in (STAMP.sub("", line, count=1) for line in lines):
        if match := NAMED.match(line):
            named, group = (match[1], int(match[2])), None
        elif match := GROUP.match(line):
            group = match[1]
        elif match := KILLED.match(line):
            pid = int(match[1])
            if group is not None:
                found.setdefault(pid, Killed(group, pid, match[2]))
            elif named is not None and named[1] == pid:
                found[pid] = Killed(named[0], pid, match[2])
            else:
                raise ValueError(f"the kernel's log doesn't say which cgroup this was in: {line}")
    return list(found.values())
