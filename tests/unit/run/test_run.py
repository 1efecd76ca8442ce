"""The whole agent, wired as the DaemonSet has it: it becomes ready, does its job, and ends when and only when it should."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent import run as program
from agent.cgroup.files import CgroupFiles
from agent.cli import main
from agent.commands import EXIT_FAILED
from agent.kernel.kmsg import boot_id
from agent.kernel.scheduling import SchedulingClass
from agent.ledger import AgentLock, LedgerReader, LockedError, NoLedgerError
from agent.loop import loop
from agent.loop.node import ThreadDiedError
from agent.pressure.seen import SeenProcesses
from tests.lab.apiserver import ApiServer
from tests.unit.kube.world import pod_json
from tests.unit.run.running import NODE, Agent

UID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
POD = f"kubepods/burstable/pod{UID}"
CONTAINER = f"{POD}/{'a' * 64}"
LAST_KILL = 'oomward_last_oom_kill_timestamp_seconds{container="herder",namespace="default",pod="herder-1"} '
KILL = (
    "6,2,{1},-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c,mems_allowed=0,oom_memcg=/{0},"
    "task_memcg=/{0},task=worker,pid=4242,uid=0\n"
    "3,3,{1},-;Memory cgroup out of memory: Killed process 4242 (worker) total-vm:1024kB, anon-rss:512kB, "
    "file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:40kB oom_score_adj:0\n"
)


def herder(**labels: str) -> dict[str, Any]:
    pod = pod_json("herder-1", UID, labels={f"oomward.dev/{key}": value for key, value in labels.items()})
    running = {"name": "herder", "containerID": f"containerd://{'a' * 64}", "state": {"running": {}}}
    pod["status"]["containerStatuses"] = [running]
    return pod


def kill(agent: Agent, number: int = 1) -> None:
    """The kernel counts a kill at each level, and logs it. ``number``: which one it is.

    Each file changes in one write of the same length, because nobody ever sees the kernel's files empty.
    """
    agent.logs(KILL.format(CONTAINER, int(time.monotonic() * 1e6)).encode())
    at = CONTAINER
    while at:
        # Only the container has a limit, so the hit is no other cgroup's own.
        for name in ("memory.events", "memory.events.local") if at == CONTAINER else ("memory.events",):
            file = agent.mount / at / name
            text = file.read_text()
            for counter in ("oom", "oom_kill"):
                text = text.replace(f"{counter} {number - 1}", f"{counter} {number}")
            with file.open("r+") as there:
                there.write(text)
        at = at.rpartition("/")[0]


def test_it_holds_counts_and_tells_until_sigterm_and_leaves_values_in_force(
    agent: Agent, api: ApiServer, capfd: pytest.CaptureFixture[str]
) -> None:
    api.put_pod(herder(mode="single"))

    def meanwhile() -> None:
        agent.ready()
        agent.make(CONTAINER, knob=1)
        agent.until(lambda: agent.knob(CONTAINER) == "0", "held")
        kill(agent)
        agent.until(lambda: any(e["reason"] == "ProcessOOMKilled" for e in api.events), "told")
        status, health = agent.get("/healthz")
        assert status == 200
        assert [line.split(":")[0] for line in health.splitlines()[1:]] == ["loop", "pod watch", "event sender"]
        page = agent.get("/metrics")[1]
        assert "oomward_kmsg_readable 1.0" in page
        assert 'oomward_heartbeat_timestamp_seconds{thread="event sender"}' in page

    assert agent.run(meanwhile) == 0
    assert agent.knob(CONTAINER) == "0"
    assert agent.raised_in == ["MainThread"]
    reader = LedgerReader(agent.work / "state")
    (recorded,) = reader.kills()
    reader.close()
    assert [victim.comm for victim in recorded.victims] == ["worker"]
    said = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert "SIGTERM received: ending" in [line["message"] for line in said]
    assert said[-1]["message"] == "stopped; the values of memory.oom.group stay as they are"


def test_an_agent_started_anew_goes_on_where_the_first_one_was(agent: Agent, api: ApiServer) -> None:
    api.put_pod(herder(mode="single"))

    def first() -> None:
        agent.ready()
        agent.make(CONTAINER, knob=1)
        agent.until(lambda: agent.knob(CONTAINER) == "0", "held")
        kill(agent)
        agent.until(lambda: any(e["reason"] == "ProcessOOMKilled" for e in api.events), "told")

    def second() -> None:
        agent.ready()
        assert LAST_KILL in agent.get("/metrics")[1], "the last kill is in the ledger"

    agent.run(first)
    agent.run(second)
    reader = LedgerReader(agent.work / "state")
    assert len(reader.kills()) == 1
    reader.close()
    assert sum(e["reason"] == "ProcessOOMKilled" for e in api.events) == 1


def test_readers_of_processes_know_the_pods_namespace_and_use_the_loops_open_directories(
    agent: Agent, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[CgroupFiles] = []
    given: list[dict[str, Any]] = []

    def files(mount: Path, version: str, **more: Any) -> CgroupFiles:
        made.append(CgroupFiles(mount, version, check_magic=False, **more))
        return made[-1]

    def seen(pids: Any, containers: Any, *arguments: Any, **more: Any) -> SeenProcesses:
        given.append(more | {"pids": pids})
        return SeenProcesses(pids, containers, *arguments, **more)

    monkeypatch.setattr(program, "CgroupFiles", files)
    monkeypatch.setattr(program, "SeenProcesses", seen)
    monkeypatch.setattr(program, "is_first_pid_namespace", lambda: True)
    api.put_pod(herder(mode="single"))

    def meanwhile() -> None:
        agent.ready()
        agent.make(CONTAINER, knob=1)
        agent.until(lambda: agent.knob(CONTAINER) == "0", "held")
        loops, of_readers = made
        (more,) = given
        assert more["pids"].args == (of_readers,), "threads have files of their own"
        assert more["namespace_of"](CONTAINER) == "default"
        inode, opened = (agent.mount / CONTAINER).stat().st_ino, list[str]()

        def copy(path: str, inode: int) -> int | None:
            opened.append(path)
            return CgroupFiles.copy(loops, path, inode)

        monkeypatch.setattr(loops, "copy", copy)
        assert of_readers.within(CONTAINER, inode, "directory", lambda fd: os.fstat(fd).st_ino) == inode
        assert opened == [CONTAINER], "the loop has it open: nothing is opened again"

    assert agent.run(meanwhile) == 0


def test_without_a_log_it_says_so_and_counts_all_the_same(
    agent: Agent, api: ApiServer, capfd: pytest.CaptureFixture[str]
) -> None:
    agent.kmsg.unlink()
    api.put_pod(herder())

    def meanwhile() -> None:
        agent.ready()
        assert "oomward_kmsg_readable 0.0" in agent.get("/metrics")[1]

    assert agent.run(meanwhile) == 0
    assert "mount the host's /dev/kmsg into the container, or name it with --kmsg" in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["/dev/null", "folder", "plain file"])
def test_with_any_other_kind_of_file_for_the_log_it_goes_on_without(
    agent: Agent, api: ApiServer, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    agent.kmsg.unlink()
    if kind == "folder":
        agent.kmsg.mkdir()
    elif kind == "plain file":
        agent.kmsg.write_bytes(b"6,1,100,-;hello\n")
    else:
        agent.kmsg.symlink_to(kind)
    api.put_pod(herder())

    def meanwhile() -> None:
        agent.ready()
        assert "oomward_kmsg_readable 0.0" in agent.get("/metrics")[1]

    assert agent.run(meanwhile) == 0
    said = capfd.readouterr().err
    assert "not the kernel's log device" in said
    assert "Traceback" not in said


def test_without_the_right_to_come_first_it_goes_on_and_says_what_may_come_late(
    agent: Agent, capfd: pytest.CaptureFixture[str]
) -> None:
    agent.scheduling_class = SchedulingClass.USUAL
    assert agent.run(agent.ready) == 0
    assert "a mode may come into force after a container's first instruction" in capfd.readouterr().err


def test_who_does_not_want_real_time_is_not_given_it(agent: Agent) -> None:
    assert agent.run(agent.ready, real_time="false") == 0
    assert agent.raised_in == []


@pytest.mark.parametrize(
    ("room", "name"),
    [("PodWatch", "pod watch"), ("EventSender", "event sender"), ("NriClient", "NRI")],
    ids=["watch", "poster", "nri"],
)
@pytest.mark.parametrize("ending", ["raises", "returns"])
def test_a_thread_that_ends_by_itself_ends_the_agent_with_the_reason(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, room: str, name: str, ending: str
) -> None:
    def run(_self: object) -> None:
        if ending == "raises":
            raise ZeroDivisionError("by zero")

    monkeypatch.setattr(getattr(program, room), "run", run)
    why = "ZeroDivisionError: by zero" if ending == "raises" else "it returned"
    with pytest.raises(ThreadDiedError, match=f"{name} ended: {why}. The agent ends too"):
        agent.run(until_it_ends(agent))
    with AgentLock(agent.work / "state", NODE) as lock:
        assert lock.trouble is None, "all that it held is let go of"


def until_it_ends(agent: Agent) -> Any:
    """Nothing is to be done beside it: it ends by itself."""
    return lambda: agent.until(lambda: agent.get("/healthz")[0] == 0, "ended")


def test_a_second_agent_refuses_and_names_the_first(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    with AgentLock(agent.work / "state", "node-1"):
        with pytest.raises(LockedError, match=f"pid {os.getpid()}, node node-1"):
            agent.run(lambda: None)
        code = main(
            ["run", "--node-name", "n", "--state-dir", str(agent.work / "state"), "--cgroup-mount", str(agent.mount)]
        )
    assert code == EXIT_FAILED
    assert f"oomward: another oomward agent (pid {os.getpid()}, node node-1)" in capsys.readouterr().err


def test_a_state_directory_that_cannot_be_had_stops_nobody(
    agent: Agent, api: ApiServer, capfd: pytest.CaptureFixture[str]
) -> None:
    api.put_pod(herder(mode="single"))

    def meanwhile() -> None:
        agent.ready()
        agent.make(CONTAINER, knob=1)
        agent.until(lambda: agent.knob(CONTAINER) == "0", "held")
        assert "ledger in memory only" in agent.get("/readyz")[1]

    assert agent.run(meanwhile, state_dir="/proc/oomward") == 0
    assert "no lock available at /proc/oomward/agent.lock" in capfd.readouterr().err


def test_a_state_directory_that_is_removed_frees_neither_the_lock_nor_the_ledger(
    agent: Agent, api: ApiServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "HOUSEKEEPING_S", 0.1)
    api.put_pod(herder(mode="single"))
    state = agent.work / "state"

    def meanwhile() -> None:
        agent.ready()
        agent.make(CONTAINER, knob=1)
        agent.until(lambda: agent.knob(CONTAINER) == "0", "held")
        shutil.rmtree(state)
        agent.until(lambda: originals() == [CONTAINER], "all that it knows is in a new ledger")
        agent.until(lambda: "removed or replaced while in use" in agent.get("/readyz")[1], "it says so")
        with pytest.raises(LockedError), AgentLock(state, "node-1", agent.mount):
            pass
        agent.until(lambda: "removed or replaced while in use" in capfd.readouterr().err, "it logs so")

    def originals() -> list[str]:
        try:
            with closing(LedgerReader(state)) as reader:
                return [original.path for original in reader.originals(boot_id())]
        except NoLedgerError:
            return []

    assert agent.run(meanwhile) == 0


def test_on_v1_counters_are_followed_by_eventfd(agent: Agent, api: ApiServer, tmp_path: Path) -> None:
    """As far as ordinary directories can show it: that everything is wired and becomes ready."""
    (agent.mount / "cgroup.controllers").unlink()
    memory = agent.mount / "memory"
    memory.mkdir()
    (memory / "cgroup.procs").write_text("")
    api.put_pod(herder(mode="single"))
    assert agent.run(agent.ready) == 0


def test_changed_rules_are_read_while_it_runs(
    agent: Agent, api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.loop.loop.HOUSEKEEPING_S", 0.05)
    config = tmp_path / "config.yaml"
    config.write_text("{}\n")
    api.put_pod(herder())

    def meanwhile() -> None:
        agent.ready()
        agent.make(CONTAINER, knob=1)
        config.write_text("rules: [{name: all, mode: single}]\n")
        agent.until(lambda: agent.knob(CONTAINER) == "0", "held by the new rule")

    assert agent.run(meanwhile, config=str(config)) == 0
