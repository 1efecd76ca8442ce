"""No file descriptor is free for a while: the agent says so without a traceback, does what it can, and comes right afterwards."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from agent.loop import loop, node
from tests.lab.apiserver import ApiServer
from tests.unit.cgroup.fakes import FILES
from tests.unit.run.running import Agent
from tests.unit.run.test_run import CONTAINER, herder, kill

OTHER = CONTAINER.replace("a" * 64, "b" * 64)


@contextmanager
def no_descriptor_free() -> Iterator[None]:
    """Everything in this process that opens a file, the agent included, gets EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(taken[0]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


def test_the_agent_goes_on_without_a_free_descriptor_and_comes_right(
    agent: Agent, api: ApiServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    turns: list[float] = []
    turn = loop.Loop._turn

    def counted(self: loop.Loop, now: float, log: bool = False) -> None:
        turns.append(now)
        turn(self, now, log)

    monkeypatch.setattr(loop.Loop, "_turn", counted)
    monkeypatch.setattr(loop, "HOUSEKEEPING_S", 0.1)
    monkeypatch.setattr(node, "RESYNC_AGAIN_S", 0.1)
    api.put_pod(herder(mode="single"))
    said: list[str] = []

    def meanwhile() -> None:
        agent.ready()
        agent.make(CONTAINER, knob=1)
        agent.until(lambda: agent.knob(CONTAINER) == "0", "held")
        aside = agent.work / "aside"
        aside.mkdir()
        for name, text in FILES.items():
            (aside / name).write_text(text)
        open_file = os.open(agent.mount / CONTAINER / "memory.oom.group", os.O_RDWR)
        with no_descriptor_free():
            os.pwrite(open_file, b"1\n", 0)
            os.rename(aside, agent.mount / OTHER)
            assert agent.get("/healthz")[0] == 0
            before = len(turns)
            agent.until(lambda: len(turns) > before + 5, "the loop goes on")
        os.close(open_file)
        agent.until(lambda: agent.knob(CONTAINER) == "0", "what was changed meanwhile is corrected")
        agent.until(lambda: 'oomward_cgroups{kind="container"} 2.0' in agent.get("/metrics")[1], "and found")
        kill(agent)
        agent.until(lambda: any(e["reason"] == "ProcessOOMKilled" for e in api.events), "a kill is told")
        said.append(capfd.readouterr().err)
        shutil.rmtree(agent.mount / OTHER)

    assert agent.run(meanwhile) == 0
    assert "Traceback" not in said[0]
    assert said[0].count("Too many open files") in range(1, 10), "said, and not each time"
