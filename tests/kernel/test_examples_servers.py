"""What docs/examples.md says of PostgreSQL, the web server and the coordinator: who dies, who lives on, what restarts.

Label, limit, restart policy, user, environment and scripts are the files' own. The images can't be pulled here: PostgreSQL and Python are
the host's, and a line of shell does what the image's entrypoint does.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.kernel import examples
from tests.kernel.examples import SECONDS, TOO_MUCH_MIB, Lab, free_port, log
from tests.lab.cgroups import memory_events
from tests.lab.examples import Example, load
from tests.lab.pages import page
from tests.lab.spec import Folder, Instance

ENTRYPOINT = (
    '[ -s "$PGDATA/PG_VERSION" ] || initdb --username=postgres --auth=trust --no-sync --no-locale || exit 1; exec "$@"'
)
PASSWD = "postgres:x:{uid}:{gid}::/tmp:/bin/sh\n"
ACROSS_THE_LIMIT = "select length(repeat('x', 1000000000))"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from examples.lab(tmp_path_factory.mktemp("node"))


# -------------------------------------------------------------------------------------------------------- PostgreSQL


@dataclass(frozen=True, slots=True)
class Database:
    """The StatefulSet's claim, and how to talk to whoever serves it."""

    example: Example
    passwd: Path
    port: str

    def run(self, lab: Lab, name: str, mode: str | None) -> Instance:
        """A pod on the claim, ready."""
        container = self.example.container
        pod = self.example.pod(
            name,
            mode=mode,
            argv=("sh", "-c", ENTRYPOINT, "entrypoint", *container["args"]),
            env={"PGPORT": self.port},
            folders=(Folder("/etc/passwd", str(self.passwd)),),
        )
        instance = lab.run(pod)
        lab.wait(pod, lambda: self.psql("select 1").stdout == "1\n")
        return instance

    def psql(self, *commands: str) -> subprocess.CompletedProcess[str]:
        """A session of its own."""
        return subprocess.run(self._session(*commands), capture_output=True, text=True, check=False, timeout=SECONDS)

    def idle_session(self) -> subprocess.Popen[str]:
        """One that does no harm: it sleeps."""
        session = self._session("select pg_sleep(600)")
        return subprocess.Popen(session, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def _session(self, *commands: str) -> list[str]:
        where = ["--host", str(self.example.folder("run")), "--port", self.port, "--username", "postgres"]
        words = [word for command in commands for word in ("--command", command)]
        return ["psql", *where, "--no-psqlrc", "--tuples-only", "--no-align", "postgres", *words]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    work = tmp_path_factory.mktemp("postgresql")
    example = load("postgresql.yaml", work)
    user = example.spec["securityContext"]
    (work / "passwd").write_text(PASSWD.format(uid=user["runAsUser"], gid=user["runAsGroup"]))
    return Database(example, work / "passwd", free_port())


def adj(pid: str | int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def adjs_of_children(pid: int) -> set[int]:
    """Of those that are there; some are only for the start."""
    found = set()
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.add(adj(child))
    return found


def test_postgresql_loses_every_session_but_not_its_postmaster_and_recovers_by_itself(
    lab: Lab, database: Database
) -> None:
    instance = database.run(lab, "postgresql", "as written")
    assert adj(instance.pid) == -997, "Guaranteed"
    assert adjs_of_children(instance.pid) == {0}, "PG_OOM_ADJUST_VALUE"
    database.psql("create table kept (line text)", "insert into kept values ('committed')")
    started = database.psql("select pg_postmaster_start_time()").stdout
    with database.idle_session() as idle:
        hungry = database.psql(ACROSS_THE_LIMIT)
        assert "server closed the connection unexpectedly" in hungry.stderr
        assert idle.wait(SECONDS) == 2
        assert idle.stderr is not None
        said = idle.stderr.read()  # as a rule the server's own word; it doesn't always get through
        ends = "terminating connection because of crash of another server process", "server closed the connection"
        assert any(end in said for end in ends), said
    lab.wait(instance.pod, lambda: database.psql("select * from kept").stdout == "committed\n")
    assert database.psql("select pg_postmaster_start_time()").stdout == started
    assert lab.starts(instance.pod) == [instance]
    assert instance.running
    assert "was terminated by signal 9: Killed" in log(instance)
    killed = memory_events(instance.path)["oom_kill"]  # seldom the kernel takes a smaller one too, and its end is told
    assert f"Failed process was running: {ACROSS_THE_LIMIT}" in log(instance) or killed > 1
    assert "(postgres, " in lab.told("ProcessOOMKilled", instance.pod)
    lab.wait(instance.pod, lambda: lab.kills(instance.pod, "single") == killed)
    lab.delete(instance.pod)


def test_without_the_label_postgresqls_container_dies_and_is_started_anew(lab: Lab, database: Database) -> None:
    instance = database.run(lab, "postgresql-plain", None)
    database.psql(ACROSS_THE_LIMIT)
    lab.ended(instance)
    assert instance.exit_code == 137
    lab.wait(instance.pod, lambda: database.psql("select * from kept").stdout == "committed\n")
    assert len(lab.starts(instance.pod)) == 2
    lab.told("ContainerOOMKilled", instance.pod)
    lab.delete(instance.pod)


# -------------------------------------------------------------------------------------------------------- web server


def web_server(lab: Lab, work: Path, port: str, name: str, mode: str) -> Instance:
    """It answers, and then one of its workers is killed while it holds the lock."""
    instance = lab.run(load("web-server.yaml", work).pod(name, mode=mode, runtime="runc", env={"PORT": port}))
    lab.wait(instance.pod, lambda: page(port, "/")[0] == 200)
    assert page(port, f"/?mib={TOO_MUCH_MIB}")[0] == 0, "this request is lost in either mode"
    return instance


def test_a_pre_forking_server_in_mode_group_dies_whole_and_answers_again(lab: Lab, tmp_path: Path) -> None:
    port = free_port()
    instance = web_server(lab, tmp_path, port, "web-server", "as written")
    lab.ended(instance)
    assert instance.exit_code == 137
    lab.wait(instance.pod, lambda: page(port, "/")[0] == 200)
    assert "The container died with all its processes (mode group)." in lab.told("ContainerOOMKilled", instance.pod)
    lab.delete(instance.pod)


def test_in_mode_single_the_same_server_stands_there_with_its_lock_held_by_a_dead_worker(
    lab: Lab, tmp_path: Path
) -> None:
    """Its parent replaces the worker, its port is open: only a probe through the lock would see it."""
    port = free_port()
    instance = web_server(lab, tmp_path, port, "web-server-single", "single")
    lab.wait(instance.pod, lambda: "replaced" in log(instance))
    assert page(port, "/", timeout_s=5) == (0, "")
    assert instance.running
    lab.told("ProcessOOMKilled", instance.pod)
    lab.delete(instance.pod)


# ------------------------------------------------------------------------------------------------------- coordinator


def coordinator(lab: Lab, work: Path, port: str, name: str, mode: str | None) -> Instance:
    """Two models that fit, and one that doesn't."""
    env = {"PORT": port, "MODELS": f"small:32 medium:48 large:{TOO_MUCH_MIB}"}
    return lab.run(load("coordinator.yaml", work).pod(name, mode=mode, env=env))


@examples.kernel_may_take_two
def test_a_coordinators_model_dies_over_and_over_while_the_others_answer(lab: Lab, tmp_path: Path) -> None:
    port = free_port()
    instance = coordinator(lab, tmp_path, port, "coordinator", "as written")
    lab.wait(instance.pod, lambda: page(port, "/ask/medium")[0] == 200)
    before = json.loads(page(port, "/models")[1])
    lab.wait(instance.pod, lambda: json.loads(page(port, "/models")[1])["large"]["deaths"] >= 3)
    after = json.loads(page(port, "/models")[1])
    for name in ("small", "medium"):
        assert (after[name]["pid"], after[name]["deaths"]) == (before[name]["pid"], 0)
        assert page(port, f"/ask/{name}")[0] == 200
    assert [page(port, path)[0] for path in ("/ask/large", "/ready", "/healthz")] == [503, 503, 200]
    assert lab.starts(instance.pod) == [instance]
    lab.told("ProcessOOMKilled", instance.pod)
    lab.delete(instance.pod)


def test_without_the_label_all_models_die_with_it_and_wait_longer_each_time(lab: Lab, tmp_path: Path) -> None:
    instance = coordinator(lab, tmp_path, free_port(), "coordinator-plain", None)
    lab.wait(instance.pod, lambda: len(lab.starts(instance.pod)) == 4)
    starts = lab.starts(instance.pod)
    assert [i.exit_code for i in starts[:3]] == [137, 137, 137]
    assert [i.backing_off for i in starts[:3]] == [False, True, True], "at once, then CrashLoopBackOff"
    pauses_s = [after.started_s - (before.ended_s or 0) for before, after in pairwise(starts)]
    assert [pauses_s[1] >= 1, pauses_s[2] >= 2] == [True, True], "the lab's second is a kubelet's ten"
    announced_s = [i.next_start_s or 0.0 for i in starts[1:3]]
    assert [0 < at_s <= i.started_s for at_s, i in zip(announced_s, starts[2:4], strict=True)] == [True, True]
    lab.told("ContainerOOMKilled", instance.pod)
    lab.delete(instance.pod)
