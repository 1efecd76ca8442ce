"""Which processes a container had when it reached its limit: found again by a kill's report, and never another process in their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cgroup.layout import classify
from agent.kernel import command_lines, processes
from agent.kernel.processes import TICKS_PER_S, read_file
from agent.model import Cgroup, SeenProcess, Victim
from agent.pressure import kept as kept_module
from agent.pressure.kept import FRESH_S, MOST_CONTAINERS, MOST_PROCESSES, OF_A_KILL, REMOVED_S, Kept, Seen
from agent.pressure.seen import (
    COMMAND_CHARS,
    LARGEST,
    MOST_LOOKED_AT,
    MOST_PARENTS,
    PARENT_CHARS,
    SeenProcesses,
)
from agent.wording.redact import Redaction
from tests.unit.pressure.fake_proc import CONTAINER, FakeProc, mib
from tests.unit.profiles import examples

MAIN = Cgroup(classify(CONTAINER), 7)
POD = Cgroup(classify(CONTAINER.rpartition("/")[0]), 6)


class World:
    """``now`` is set by hand. What is submitted is done at once, or kept in ``waiting``."""

    def __init__(
        self, folder: Path, redaction: Redaction | None = None, namespace_of: Callable[[str], str] = lambda _: ""
    ) -> None:
        self.proc = FakeProc(folder)
        self.now = 100.0
        self.looks: list[str] = []
        self.seen = SeenProcesses(
            lambda _: self.proc.pids,
            lambda _: [MAIN],
            redaction,
            self.submit,
            namespace_of=namespace_of,
            proc=folder,
            clock=lambda: self.now,
            boot_clock=lambda: self.now,
        )

    def submit(self, pod: str, key: str, work: Callable[[], None], *, soon: bool = False) -> bool:
        assert soon is key.endswith(" killed")
        self.looks.append(key)
        work()
        return True

    def reached(self, cgroup: Cgroup = MAIN) -> None:
        self.seen.reached(cgroup, self.now)

    def of_kill(self, *killed: tuple[int, str], recorded_s: float | None = None) -> tuple[SeenProcess, ...]:
        return self.seen.of_kill(CONTAINER, [Victim(pid, comm) for pid, comm in killed], recorded_s)

    def reported(self, *killed: tuple[int, str]) -> None:
        self.seen.reported(MAIN, [Victim(pid, comm) for pid, comm in killed], self.now)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "proc", Redaction())
    world.proc.add(10, ("tini", "--", "celery"), comm="tini", pages=1, parent=1)
    world.proc.add(11, ("/usr/bin/python", "/usr/bin/celery", "worker"), comm="celery", pages=mib(20), parent=10)
    argv = ("python", "-m", "celery", "worker", "-Q", "images", "--token", "abc")
    world.proc.add(12, argv, pages=mib(200), parent=11)
    world.proc.add(13, ("sleep", "9"), comm="sleep", pages=mib(2), parent=11)
    return world


def test_a_victim_has_its_command_line_and_its_parents_up_to_pid_1(world: World) -> None:
    world.reached()
    world.proc.reap(12)
    victim, *others = world.of_kill((12, "python3"))
    assert victim == SeenProcess(
        12,
        "python3",
        "python -m celery worker -Q images --token ***",
        ("celery", "tini"),
        ("/usr/bin/python /usr/bin/celery worker", "tini -- celery"),
        200 << 20,
    )
    assert [one.pid for one in others] == [11, 13, 10], "the largest first"


def test_a_pod_at_its_limit_is_its_containers(world: World) -> None:
    world.reached(POD)
    assert world.looks == [CONTAINER]


def test_without_arguments_only_names_are_read(tmp_path: Path) -> None:
    world = World(tmp_path / "proc")
    world.proc.add(12, ("python", "secret"), parent=11)
    world.proc.add(11, ("celery", "secret"), comm="celery")
    world.reached()
    assert world.of_kill((12, "python3"))[0] == SeenProcess(12, "python3", "", ("celery",), ("",), 100 * 4096)


def test_a_dying_process_that_was_never_seen_has_its_living_parents(world: World) -> None:
    world.proc.kill(12)
    world.reported((12, "python3"))
    victim = world.of_kill((12, "python3"))[0]
    assert (victim.command, victim.parents) == ("", ("celery", "tini"))
    assert victim.parent_commands[0] == "/usr/bin/python /usr/bin/celery worker"


def test_victims_of_which_nothing_is_left_keep_no_reader_busy_and_take_nobody_elses_turn(world: World) -> None:
    world.reached()
    world.proc.reap(12)
    for _ in range(1000):
        world.reported((12, "python3"), (99, "gone"))
    assert world.looks == [CONTAINER]
    assert world.of_kill((12, "python3"))[0].command.startswith("python -m celery worker"), "it was seen before"
    world.proc.kill(13)
    world.reported((12, "python3"), (13, "sleep"))
    assert world.looks == [CONTAINER, f"{CONTAINER} killed"], "there are readings left for the next kill"


def test_a_dying_process_keeps_the_command_that_it_had(world: World) -> None:
    world.reached()
    world.now += 300  # it is there still, so its pid is its own
    world.proc.kill(12)
    world.reported((12, "python3"))
    victim = world.of_kill((12, "python3"))[0]
    assert victim.command.startswith("python -m celery worker")
    assert victim.rss_bytes == 200 << 20


def test_a_process_with_the_pid_of_one_that_was_seen_is_another(world: World) -> None:
    world.reached()
    world.proc.add(12, ("python", "other"), parent=11, start=2000)
    world.proc.kill(12)
    world.reported((12, "python3"))
    victim = world.of_kill((12, "python3"))[0]
    assert (victim.pid, victim.command) == (12, "")


def test_a_pid_that_a_living_process_has_now_is_not_named(world: World) -> None:
    """Whether the victim was the one that was seen is not known any more."""
    world.reached()
    world.proc.add(12, ("python", "other"), parent=11, start=2000)
    world.reported((12, "python3"))
    assert 12 not in {one.pid for one in world.of_kill((12, "python3"))}


def test_a_process_that_got_the_victims_pid_after_the_kill_was_recorded_is_another(world: World) -> None:
    world.proc.reap(12)
    recorded_s = world.now
    world.now += 0.2
    world.proc.add(12, ("python", "other"), parent=11, start=int(world.now * TICKS_PER_S))
    world.proc.add(14, ("python", "new"), parent=11, start=int(world.now * TICKS_PER_S))
    world.reached()
    found = {one.pid for one in world.of_kill((12, "python3"), recorded_s=recorded_s)}
    assert found == {10, 11, 13}, "14 started later, too"
    world.proc.kill(12)
    world.reported((12, "python3"))
    assert 12 not in {one.pid for one in world.of_kill((12, "python3"), recorded_s=recorded_s)}, (
        "its own kill is another"
    )
    assert world.of_kill((12, "python3"))[0].command == "python other"


def test_a_victim_that_still_ends_after_the_kill_was_recorded_is_named(world: World) -> None:
    world.proc.kill(12)
    recorded_s = world.now
    world.now += 0.2
    world.reported((12, "python3"))
    victim = world.of_kill((12, "python3"), recorded_s=recorded_s)[0]
    assert (victim.pid, victim.parents) == (12, ("celery", "tini"))


def test_a_dying_process_of_another_container_is_none_of_this_one(world: World) -> None:
    world.proc.add(12, ("python",), parent=11, start=2000, cgroup=CONTAINER[:-1] + "b")
    world.proc.kill(12)
    world.reported((12, "python3"))
    assert world.of_kill((12, "python3")) == ()


def test_another_name_is_another_process(world: World) -> None:
    world.reached()
    assert 12 not in {one.pid for one in world.of_kill((12, "java"))}


def test_what_was_seen_long_ago_is_not_named(world: World) -> None:
    world.reached()
    world.now += FRESH_S + 1
    assert world.of_kill((12, "python3")) == ()


def test_a_kill_that_is_recorded_after_the_removal_finds_its_processes_for_a_while(world: World) -> None:
    world.reached()
    world.seen.gone(MAIN, world.now)
    assert world.of_kill((12, "python3"))[0].pid == 12
    world.now += REMOVED_S + 1
    world.seen.gone(Cgroup(MAIN.place, 99), world.now)
    assert world.of_kill((12, "python3")) == ()


def test_a_new_cgroup_at_the_same_path_has_none_of_the_old_ones(world: World) -> None:
    world.reached()
    world.proc.reap(12)
    world.now += 60
    world.reached(Cgroup(MAIN.place, 8))
    assert 12 not in {one.pid for one in world.of_kill((12, "python3"))}


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from(["a", "b"]), st.integers(1, 3), st.sampled_from("srk")),
        max_size=25,
    )
)
@examples(200)
def test_no_order_of_starts_looks_and_kills_names_another_processs_command(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, int, str]]
) -> None:
    """Each process has a command of its own. What is shown is its own, or nothing: when a kill is recorded, and at any time later."""
    world = World(tmp_path_factory.mktemp("proc"), Redaction())
    alive: dict[int, str] = {}
    recorded: list[tuple[int, str, float, str]] = []
    for number, (pid, comm, seconds, what) in enumerate(steps):
        world.now += seconds
        if what == "s":
            alive[pid] = f"run {number}"
            world.proc.add(pid, alive[pid].split(), comm=comm, start=int(world.now * TICKS_PER_S))
        elif what == "r":
            world.reached()
        elif pid in alive:
            name = (world.proc.folder / str(pid) / "stat").read_text().partition("(")[2][0]
            world.proc.kill(pid)
            world.reported((pid, name))
            recorded.append((pid, name, world.now, alive[pid]))
            world.proc.reap(pid)
            del alive[pid]
        for killed, name, recorded_s, command in recorded:
            named = [one for one in world.of_kill((killed, name), recorded_s=recorded_s) if one.pid == killed]
            assert all(one.command in ("", command) for one in named)


# -------------------------------------------------------------------------------------------------------------- hostile


def test_of_thousands_of_processes_few_are_read_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "proc", Redaction())
    for pid in range(1, 5001):
        world.proc.pids.append(pid)
    world.proc.add(77, ("big",), pages=mib(9))
    monkeypatch.setattr("agent.pressure.seen.resident_bytes", lambda pid, _: int(pid == 77))
    opened: list[object] = []
    monkeypatch.setattr("agent.pressure.seen.process", lambda pid, _: opened.append(pid))
    world.reached()
    assert len(opened) <= LARGEST
    assert 77 in opened
    world.proc.pids = list(range(1, MOST_LOOKED_AT * 3))
    looked: list[int] = []

    def look(pid: int, _: object) -> int:
        looked.append(pid)
        return 0

    monkeypatch.setattr("agent.pressure.seen.resident_bytes", look)
    world.now += 100
    world.reached()
    assert len(looked) == MOST_LOOKED_AT


def test_arguments_without_end_are_cut_and_what_was_not_read_to_its_end_is_not_shown(world: World) -> None:
    world.proc.add(12, ("python", "--password", "x" * (2 << 20)), parent=11)
    world.proc.add(11, ("celery", *("y" * 90 for _ in range(9))), comm="celery", parent=10)
    world.reached()
    victim = world.of_kill((12, "python3"))[0]
    assert victim.command == "python --password ***"
    assert len(victim.parent_commands[0]) <= PARENT_CHARS
    world.proc.add(12, ("python", "postgres://u:" + "p" * 3000), parent=11)
    world.now += 100
    world.reached()
    assert world.of_kill((12, "python3"))[0].command == "python …"


def test_many_long_arguments_are_bounded(world: World) -> None:
    world.proc.add(12, ["abcdefghi"] * 100, parent=11)
    world.reached()
    assert len(world.of_kill((12, "python3"))[0].command) <= COMMAND_CHARS


def test_bytes_that_are_no_text_and_a_script_are_shown_in_one_line(world: World) -> None:
    world.proc.add(12, (b"py\xffthon", "-c", "\nimport os\nos.fork()\n", "\x1b[2J"), parent=11)
    world.reached()
    assert world.of_kill((12, "python3"))[0].command == "py\\xffthon -c import os … \x1b[2J"


def test_a_title_that_a_program_gave_itself_is_its_command(world: World) -> None:
    """setproctitle: one text, and no argument ends with a NUL any more."""
    (world.proc.folder / "12" / "cmdline").write_bytes(b"celeryd: prefork --password hunter2" + b"\0" * 50)
    world.reached()
    assert world.of_kill((12, "python3"))[0].command == "celeryd: prefork --password ***"


def test_a_chain_of_parents_is_bounded_even_if_it_is_a_ring(tmp_path: Path) -> None:
    world = World(tmp_path / "proc", Redaction())
    world.proc.add(5, ("a",), parent=6)
    world.proc.add(6, ("b",), parent=5)
    world.reached()
    assert len(world.of_kill((5, "python3"))[0].parents) == MOST_PARENTS


def test_a_process_that_ends_while_it_is_read_is_left_out(world: World) -> None:
    world.proc.reap(12)
    world.proc.pids.append(12)
    world.reached()
    assert {one.pid for one in world.of_kill()} == {10, 11, 13}


def test_what_is_kept_is_bounded_per_container_and_in_all() -> None:
    kept = Kept()
    for number in range(MOST_CONTAINERS * 2):
        path = f"kubepods/pod{number // 2}/{number}"
        kept.add(path, number, "prod", [Seen(SeenProcess(pid, "x", rss_bytes=pid), 1, 1.0) for pid in range(1, 60)])
    sizes = [len(one.by_pid) for one in kept._containers.values()]
    assert len(sizes) <= MOST_CONTAINERS
    assert max(sizes) == MOST_PROCESSES
    path = next(iter(kept._containers))
    assert [one.pid for one in kept.of_kill(path, (), 1.0, 1)] == [59, 58, 57, 56][:OF_A_KILL]
    assert kept_module.OF_A_KILL <= 4, "each is in the ledger's row"


def test_a_namespace_of_many_pods_leaves_places_for_the_processes_of_others() -> None:
    kept, seen = Kept(), [Seen(SeenProcess(5, "x"), 1, 1.0)]
    kept.add("kubepods/pod-of-prod/one", 1, "prod", seen)
    for number in range(MOST_CONTAINERS * 2):
        kept.add(f"kubepods/pod{number}/one", 10 + number, "hostile", seen)
    assert kept.of_kill("kubepods/pod-of-prod/one", (), 1.0, 1) != ()


def test_what_is_kept_belongs_to_the_namespace_of_the_pod(tmp_path: Path) -> None:
    world = World(tmp_path / "proc", namespace_of={CONTAINER: "prod"}.__getitem__)
    world.proc.add(12, ("python",))
    world.reached()
    assert [one.namespace for one in world.seen._kept._containers.values()] == ["prod"]
    world.seen._kept = Kept()
    world.proc.kill(12)
    world.reported((12, "python3"))
    assert [one.namespace for one in world.seen._kept._containers.values()] == ["prod"]


def test_of_few_processes_each_file_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noting(pid: int, file: str, proc: Path, most_bytes: int = 1 << 16) -> bytes | None:
        read.append(f"{pid}/{file}")
        return read_file(pid, file, proc, most_bytes)

    for module in (processes, command_lines):
        monkeypatch.setattr(module, "read_file", noting)
    world.reached()
    assert sorted(read) == sorted(f"{pid}/{file}" for pid in (10, 11, 12, 13) for file in ("stat", "cmdline"))


def test_a_pod_of_many_containers_at_their_limit_leaves_readings_for_others(tmp_path: Path) -> None:
    world = World(tmp_path / "proc", Redaction())
    world.proc.add(12, ("python", "app.py"), pages=mib(9))
    submit, world.seen._submit = world.seen._submit, lambda *_, **__: False
    for number in range(500):
        world.reached(Cgroup(classify(f"{POD.path}/{number:064x}"), 100 + number))
    world.seen._submit = submit
    world.reached()
    assert [one.pid for one in world.of_kill((12, "python3"))] == [12]
