"""A real agent that is stopped by SIGSTOP while the kernel kills, and continues: a process of its own, since it is stopped as a whole."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.ledger import LedgerReader
from agent.model import OomKill
from tests.lab.apiserver import ApiServer
from tests.unit.patience import PATIENCE_S
from tests.unit.run.running import Agent
from tests.unit.run.test_run import CONTAINER, herder

KILLED = (
    "Memory cgroup out of memory: Killed process {} (worker) total-vm:1024kB, anon-rss:512kB, file-rss:4kB, shmem-rss:0kB, "
    "UID:0 pgtables:40kB oom_score_adj:0"
)


def group_kill(first_pid: int) -> list[str]:
    """What the kernel prints when it kills two processes as a group: the first one's line comes twice."""
    where = f"oom_memcg=/{CONTAINER},task_memcg=/{CONTAINER},task=worker,pid={first_pid},uid=0"
    return [
        f"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c,mems_allowed=0,{where}",
        KILLED.format(first_pid),
        f"Tasks in /{CONTAINER} are going to be killed due to memory.oom.group set",
        KILLED.format(first_pid + 1),
        KILLED.format(first_pid),
    ]


@contextmanager
def process(agent: Agent) -> Iterator[int]:
    """The agent in a child of this process; its pid."""
    end = agent.work / "end"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: the child uses none of theirs
        pid = os.fork()
    if pid == 0:
        try:
            agent.run(lambda: agent.until(end.exists, "the test is over"))
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        end.touch()
        os.kill(pid, signal.SIGCONT)
        deadline_s = time.monotonic() + PATIENCE_S
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline_s:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def count_group_kill(mount: Path) -> None:
    """Of two processes, the first of which is counted twice; at each level."""
    at = CONTAINER
    while at:
        for name in ("memory.events", "memory.events.local"):
            file = mount / at / name
            counts = dict(line.split() for line in file.read_text().splitlines())
            if name == "memory.events" or at == CONTAINER:
                more = {"oom": 1, "oom_kill": 3, "oom_group_kill": 1}
                counts |= {key: str(int(counts[key]) + more[key]) for key in more if key in counts}
            file.write_text("".join(f"{key} {value}\n" for key, value in counts.items()))
        at = at.rpartition("/")[0]


def recorded(state: Path) -> list[OomKill]:
    with closing(LedgerReader(state)) as reader:
        return list(reader.kills())


@pytest.mark.parametrize("logged", [True, False], ids=["with reports", "without reports"])
def test_several_group_kills_while_a_process_was_stopped_are_several(
    agent: Agent, api: ApiServer, *, logged: bool
) -> None:
    api.put_pod(herder(mode="group"))
    sequence = 0
    with process(agent) as pid:
        agent.ready()
        agent.make(CONTAINER, knob=0)
        agent.until(lambda: agent.knob(CONTAINER) == "1", "enforced")
        os.kill(pid, signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
        for first_pid in (410, 420, 430):
            count_group_kill(agent.mount)
            if logged:
                for line in group_kill(first_pid):
                    sequence += 1
                    agent.logs(f"3,{sequence},{int(time.monotonic() * 1e6)},-;{line}\n".encode())
        assert recorded(agent.work / "state") == []
        os.kill(pid, signal.SIGCONT)
        agent.until(lambda: len(recorded(agent.work / "state")) >= 3, "recorded")
        time.sleep(0.3)  # no fourth one follows
        kills = recorded(agent.work / "state")
    assert [(kill.group_kill, kill.processes) for kill in kills] == [(True, 2)] * 3
    named = sorted(tuple(victim.pid for victim in kill.victims) for kill in kills)
    assert named == ([(410, 411), (420, 421), (430, 431)] if logged else [()] * 3)
