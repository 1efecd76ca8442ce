"""A cgroup vanishes between any two calls: that is normal flow, for every question, every write, and every turn of the node."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cgroup.files import CgroupFiles
from agent.cgroup.killing import kill_container
from agent.cgroup.tree import Tree
from agent.model import (
    VANISHED,
    Cgroup,
    CgroupGone,
    KillAttempt,
    KillOutcome,
    MemoryEvents,
    OomGroupWrite,
    WriteOutcome,
)
from tests.unit.cgroup.fakes import CONTAINER, POD, make, remove
from tests.unit.faults.vanishing import Moments, install
from tests.unit.loop.world import MODE, World, pod

MOST_CALLS = 400
CHILD = f"{CONTAINER}/container"
Ask = Callable[[CgroupFiles, Cgroup], object]

ASKED: dict[str, Ask] = {
    "inode": lambda files, cgroup: files.inode(cgroup.path),
    "children": lambda files, cgroup: files.children(cgroup.path),
    "read_oom_group": lambda files, cgroup: files.read_oom_group(cgroup),
    "plan_oom_group": lambda files, cgroup: files.plan_oom_group(cgroup, 0),
    "set_oom_group 0": lambda files, cgroup: files.set_oom_group(cgroup, 0),
    "set_oom_group 1": lambda files, cgroup: files.set_oom_group(cgroup, 1),
    "memory_events": lambda files, cgroup: files.memory_events(cgroup),
    "limit_bytes": lambda files, cgroup: files.limit_bytes(cgroup),
    "usage_bytes": lambda files, cgroup: files.usage_bytes(cgroup),
    "peak_bytes": lambda files, cgroup: files.peak_bytes(cgroup),
    "pids": lambda files, cgroup: files.pids(cgroup),
    "populated": lambda files, cgroup: files.populated(cgroup),
    "kill_all": lambda files, cgroup: files.kill_all(cgroup),
    "kill_container": kill_container,
}


def moments(run: Callable[[int | None], Moments]) -> Iterator[int]:
    """Every place between two calls: as many as there are when nothing vanishes."""
    calls = run(None).calls
    assert 0 < calls < MOST_CALLS
    yield from range(calls)


@pytest.mark.parametrize("kept", [False, True], ids=["walked to", "kept open"])
@pytest.mark.parametrize("name", ASKED)
def test_every_question_is_answered_whenever_its_cgroup_goes(tmp_path: Path, name: str, kept: bool) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    whole: list[object] = []

    def run(at: int | None) -> Moments:
        cgroup = make(mount, CONTAINER, memory__oom__group="1\n", memory__peak="0\n", cgroup__kill="")
        make(mount, CHILD)
        files = CgroupFiles(mount, "v2", check_magic=False)
        if kept:
            files.keep_open(cgroup)
            files.limit_bytes(cgroup)
        moments = Moments(lambda: remove(mount, CONTAINER), at)
        with pytest.MonkeyPatch.context() as patch:
            install(patch, moments)
            answer = ASKED[name](files, cgroup)
        files.close()
        if at is None:
            whole.append(answer)
            remove(mount, CONTAINER)
        else:
            assert moments.gone
            asked_whole = cgroup.inode if name == "inode" else whole[0]
            assert is_of_a_vanished_one(answer) or same_kind(answer, asked_whole), f"{answer!r} at {at}"
        return moments

    for at in moments(run):
        run(at)


def is_of_a_vanished_one(answer: object) -> bool:
    if isinstance(answer, OomGroupWrite):
        return answer.outcome is WriteOutcome.GONE
    if isinstance(answer, KillAttempt):
        return answer.outcome is KillOutcome.GONE
    return answer is VANISHED


def same_kind(answer: object, whole: object) -> bool:
    """It went after all that mattered had been read; what was added up of its children may be less."""
    if isinstance(answer, (MemoryEvents, tuple)):
        return type(answer) is type(whole)
    return answer == whole


def test_scanning_and_reading_know_in_the_end_what_is_there(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    make(mount, POD)
    files = CgroupFiles(mount, "v2", check_magic=False)
    tree = Tree(files)
    tree.scan(0.0)
    at_rest = tree.watches

    def run(at: int | None) -> Moments:
        moments = Moments(lambda: remove(mount, CONTAINER), at)
        with pytest.MonkeyPatch.context() as patch:
            install(patch, moments)
            make(mount, CONTAINER)
            make(mount, CHILD)
            told = [*tree.read(1.0), *tree.scan(2.0), *tree.read(3.0)]
        if at is None:
            assert {CONTAINER, CHILD} <= set(tree.cgroups)
            remove(mount, CONTAINER)
        told += tree.read(4.0)
        assert set(tree.cgroups) == {"kubepods", "kubepods/burstable", POD}
        gone = [event.cgroup.path for event in told if isinstance(event, CgroupGone)]
        assert gone in ([CHILD, CONTAINER], [CONTAINER], []), "children first, each once"
        assert tree.watches == at_rest, "no watch is left behind, none is missing"
        tree.scan(5.0)
        assert tree.watches == at_rest
        return moments

    for at in moments(run):
        run(at)
    tree.close()
    files.close()


NEIGHBOUR = f"{POD}/{'b' * 64}"
IDS: dict[str, str | None] = {"main": "a" * 64, "side": "b" * 64}
CHAPTERS: dict[str, Callable[[World], None]] = {
    "it appears": lambda world: world.turn(),
    "somebody writes": lambda world: world.write(CONTAINER, 1),
    "a kill": lambda world: world.kill(CONTAINER),
    "what came of it": lambda world: world.turn(after_s=1.0),
    "its annotation asks for another mode": lambda world: world.told(
        pod({MODE: "single"}, {"mode.oomward.dev/main": "group"}, ids=IDS)
    ),
    "the slow full look": lambda world: world.node.resync(world.now),
}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_turn_of_the_node_goes_on_and_other_containers_come_to_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, chapter: str
) -> None:
    """A container appears, is named, rewritten and killed in; it goes at any moment of that. Its neighbour is held all the time."""
    caplog.set_level(logging.WARNING, "oomward")

    world = World(tmp_path)
    world.told(pod({MODE: "single"}, ids=IDS))
    world.make(NEIGHBOUR, knob=1)

    def run(at: int | None) -> Moments:
        world.told(pod({MODE: "single"}, ids=IDS))
        make(world.mount, CONTAINER, memory__oom__group="1\n")
        for name in list(CHAPTERS)[: list(CHAPTERS).index(chapter)]:
            CHAPTERS[name](world)
        moments = Moments(lambda: remove(world.mount, CONTAINER), at)
        with pytest.MonkeyPatch.context() as patch:
            install(patch, moments)
            CHAPTERS[chapter](world)
        world.turn(after_s=0.1)
        world.turn(after_s=6.0)
        assert (CONTAINER in world.tree.cgroups) is not moments.gone
        assert world.knob(NEIGHBOUR) == 0
        if not moments.gone:
            world.remove(CONTAINER)
        return moments

    for at in moments(run):
        run(at)
    world.make(f"{POD}/{'c' * 64}", knob=1)
    assert f"{POD}/{'c' * 64}" in world.tree.cgroups, "it goes on"
    assert world.metric("oomward_cgroup_errors_total") == 0, caplog.text
    world.end()
