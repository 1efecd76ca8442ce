"""What docs/examples.md says of PostgreSQL, the web server and the coordinator: who dies, who lives on, what restarts.

Label, limit, restart policy, user, environment and scripts are the files' own. The images can't be pulled here: PostgreSQL and Python are
the host's, and a line of shell does what the image's entrypoint does. Whom the kernel kills: see test_examples.py.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.kernel import examples
from tests.kernel.examples import SECONDS, STANDINS, TOO_MUCH_MIB, Lab, free_port, log
from tests.lab.examples import Example, load
from tests.lab.gate import Gate, processes
from tests.lab.pages import page
from tests.lab.spec import Folder, Instance

ENTRYPOINT = (
    '[ -s "$PGDATA/PG_VERSION" ] || initdb --username=postgres --auth=trust --no-sync --no-locale || exit 1; exec "$@"'
)
PASSWD = "postgres:x:{uid}:{gid}::/tmp:/bin/sh\n"
ACROSS_THE_LIMIT = (
    "select length(repeat(repeat('x', 1000000), 1000))"  # in pieces, so that it doesn't thrash before it is killed
)

CONNECTION_LOST = 2  # psql's exit code


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from examples.lab(tmp_path_factory.mktemp("node"))


gate = pytest.fixture(examples.gate)


# -------------------------------------------------------------------------------------------------------- PostgreSQL


@dataclass(frozen=True, slots=True)
class Session:
    """A psql that is asked line by line."""

    psql: subprocess.Popen[str]

    def ask(self, question: str) -> None:
        assert self.psql.stdin is not None
        self.psql.stdin.write(f"{question};\n")
        self.psql.stdin.flush()

    def answer(self, question: str) -> str:
        """The one line of the answer."""
        self.ask(question)
        assert self.psql.stdout is not None
        return self.psql.stdout.readline().strip()

    def lost(self) -> str:
        """Wait for the end of a psql that loses its connection. What it said on standard error."""
        said = self.psql.communicate(timeout=SECONDS)[1]
        assert self.psql.returncode == CONNECTION_LOST, said
        return said


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

    def session(self) -> Session:
        """One that stays open."""
        return Session(
            subprocess.Popen(
                self._session(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )

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


def adj(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def backend_of(session: Session, instance: Instance) -> int:
    """The process that serves the session, by its pid on the host."""
    inner = session.answer("select pg_backend_pid()")
    (pid,) = (pid for pid in processes(instance.path) if pid_inside(pid) == inner)
    return pid


def pid_inside(pid: int) -> str:
    """In the process's own pid namespace."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:"))


def test_postgresql_loses_every_session_but_not_its_postmaster_and_recovers_by_itself(
    lab: Lab, database: Database
) -> None:
    instance = database.run(lab, "postgresql", "as written")
    database.psql("create table kept (line text)", "insert into kept values ('committed')")
    started = database.psql("select pg_postmaster_start_time()").stdout
    idle, hungry = database.session(), database.session()
    assert adj(instance.pid) == -997, "Guaranteed"
    assert adj(backend_of(idle, instance)) == 0, "PG_OOM_ADJUST_VALUE"
    victim = backend_of(hungry, instance)
    idle.ask("select pg_sleep(600)")
    lab.dies_alone(instance, victim, lambda: hungry.ask(ACROSS_THE_LIMIT))
    for session in (hungry, idle):
        assert "server closed the connection unexpectedly" in session.lost()
    lab.wait(instance.pod, lambda: database.psql("select * from kept").stdout == "committed\n")
    assert database.psql("select pg_postmaster_start_time()").stdout == started
    assert lab.starts(instance.pod) == [instance]
    assert instance.running
    assert "was terminated by signal 9: Killed" in log(instance)
    assert f"Failed process was running: {ACROSS_THE_LIMIT}" in log(instance)
    assert "OOM-killed postgres (PID " in lab.told("ProcessOOMKilled", instance.pod)
    assert lab.kills(instance.pod, "single") == 1
    lab.delete(instance.pod)


def test_without_the_label_postgresqls_container_dies_and_is_started_anew(lab: Lab, database: Database) -> None:
    instance = database.run(lab, "postgresql-plain", None)
    database.psql(ACROSS_THE_LIMIT)
    lab.ended(instance)
    assert instance.exit_code == 137
    lab.wait(instance.pod, lambda: database.psql("select * from kept").stdout == "committed\n")
    assert len(lab.starts(instance.pod)) == 2
    lab.killed_together(instance.pod)
    lab.delete(instance.pod)


# -------------------------------------------------------------------------------------------------------- web server


def web_server(lab: Lab, work: Path, port: str, name: str, mode: str) -> Instance:
    """It answers."""
    instance = lab.run(load("web-server.yaml", work).pod(name, mode=mode, runtime="runc", env={"PORT": port}))
    lab.wait(instance.pod, lambda: page(port, "/")[0] == 200)
    return instance


def ask_for_too_much(port: str) -> None:
    """A worker is killed while it holds the lock."""
    assert page(port, f"/?mib={TOO_MUCH_MIB}")[0] == 0, "this request is lost in either mode"


def test_a_pre_forking_server_in_mode_group_dies_whole_and_answers_again(lab: Lab, tmp_path: Path) -> None:
    port = free_port()
    instance = web_server(lab, tmp_path, port, "web-server", "as written")
    ask_for_too_much(port)
    lab.ended(instance)
    assert instance.exit_code == 137
    lab.wait(instance.pod, lambda: page(port, "/")[0] == 200)
    assert {instance.pid} < lab.killed_together(instance.pod), (
        "the worker and PID 1; the others, too, unless PID 1's end took them first"
    )
    assert "(mode group: all " in lab.told("ContainerOOMKilled", instance.pod)
    lab.delete(instance.pod)


def test_in_mode_single_the_same_server_stands_there_with_its_lock_held_by_a_dead_worker(
    lab: Lab, tmp_path: Path
) -> None:
    """Its parent replaces the worker, its port is open: only a probe through the lock would see it."""
    port = free_port()
    instance = web_server(lab, tmp_path, port, "web-server-single", "single")
    worker = max(processes(instance.path))
    lab.dies_alone(instance, worker, lambda: ask_for_too_much(port))
    lab.wait(instance.pod, lambda: "replaced" in log(instance))
    assert page(port, "/", timeout_s=5) == (0, "")
    assert instance.running
    lab.delete(instance.pod)


# ------------------------------------------------------------------------------------------------------- coordinator


def coordinator(lab: Lab, work: Path, gate: Gate, port: str, name: str, mode: str | None) -> Instance:
    """Two models that fit, and one that doesn't, which waits at the gate at each start."""
    env = {"PORT": port, "MODELS": f"small:32 medium:48 large:{TOO_MUCH_MIB}"}
    env |= {"GATED": str(TOO_MUCH_MIB), "PYTHONPATH": "/standins/site"}
    folders = (STANDINS, gate.folder)
    return lab.run(load("coordinator.yaml", work).pod(name, mode=mode, env=env, folders=folders))


def test_a_coordinators_model_dies_over_and_over_while_the_others_answer(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    port = free_port()
    instance = coordinator(lab, tmp_path, gate, port, "coordinator", "as written")
    for name in ("small", "medium"):
        lab.wait(instance.pod, lambda name=name: page(port, f"/ask/{name}")[0] == 200)  # type: ignore[misc]
    before = json.loads(page(port, "/models")[1])
    victims: list[int] = []
    for _ in range(3):
        victims.append(lab.dies_at(gate, instance, earlier=victims))
    gate.waiting(instance.path)
    after = json.loads(page(port, "/models")[1])
    assert after["large"]["deaths"] == 3
    for name in ("small", "medium"):
        assert (after[name]["pid"], after[name]["deaths"]) == (before[name]["pid"], 0)
        assert page(port, f"/ask/{name}")[0] == 200
    assert [page(port, path)[0] for path in ("/ask/large", "/ready", "/healthz")] == [503, 503, 200]
    assert lab.starts(instance.pod) == [instance]
    lab.delete(instance.pod)


def test_without_the_label_all_models_die_with_it_and_wait_longer_each_time(
    lab: Lab, tmp_path: Path, gate: Gate
) -> None:
    instance = coordinator(lab, tmp_path, gate, free_port(), "coordinator-plain", None)
    gate.let_in(3)
    lab.wait(instance.pod, lambda: len(lab.starts(instance.pod)) == 4)
    starts = lab.starts(instance.pod)[:3]
    assert [i.exit_code for i in starts] == [137, 137, 137]
    assert [i.backing_off for i in starts] == [False, True, True], "at once, then CrashLoopBackOff"
    pauses_s = [after.started_s - (before.ended_s or 0) for before, after in pairwise(lab.starts(instance.pod)[:4])]
    assert [pauses_s[1] >= 1, pauses_s[2] >= 2] == [True, True], "the lab's second is a kubelet's ten"
    announced_s = [i.next_start_s or 0.0 for i in starts[1:]]
    next_s = [i.started_s for i in lab.starts(instance.pod)[2:4]]
    assert [0 < at_s <= began_s for at_s, began_s in zip(announced_s, next_s, strict=True)] == [True, True]
    assert lab.killed_together(instance.pod) > {i.pid for i in starts}
    lab.delete(instance.pod)
