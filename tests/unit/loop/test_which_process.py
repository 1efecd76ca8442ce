"""From a limit that is reached to a kill that says which process it was, in the places where the setting shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.model import OomReport, Victim
from agent.pressure.seen import SeenProcesses
from agent.wording.redact import Redaction
from tests.unit.loop.world import CONTAINER, MODE, World, pod
from tests.unit.pressure.fake_proc import FakeProc

COMMAND = "python -m celery worker -Q images --token ***"


def at_once(pod: str, key: str, work: Callable[[], None], *, soon: bool = False) -> bool:
    work()
    return True


def a_kill(folder: Path, command_lines: str) -> World:
    """The container reaches its limit, its worker is killed, and the outcome is known."""
    proc = FakeProc(folder / "proc")
    proc.add(10, ("tini", "--", "celery"), comm="tini", cgroup=CONTAINER)
    proc.add(12, ("python", "-m", "celery", "worker", "-Q", "images", "--token", "abc"), parent=10, cgroup=CONTAINER)
    seen = SeenProcesses(
        lambda _: proc.pids,
        lambda _: [],
        Redaction(),
        at_once,
        proc=proc.folder,
        clock=lambda: world.now,
    )
    world = World(folder, kmsg=True, command_lines=command_lines, processes=lambda *_: seen)
    world.listed(pod({MODE: "single"}))
    world.make(knob=1)
    world.node.kills.touched(world.tree.cgroups[CONTAINER], world.now)
    proc.kill(12)
    world.kill_unseen()
    report = OomReport(1, 9, int(world.now * 1e6), (Victim(12, "python3"),), False, f"/{CONTAINER}", f"/{CONTAINER}")
    world.node.kills.reports([report], world.now)
    for _ in range(8):
        world.turn(after_s=0.2)
    return world


@pytest.mark.parametrize("command_lines", ["history", "log", "events"])
def test_it_is_recorded_and_shown_where_the_setting_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, command_lines: str
) -> None:
    monkeypatch.setattr(logging.getLogger("oomward"), "propagate", True)
    world = a_kill(tmp_path, command_lines)
    (kill,) = world.ledger.kills()
    assert kill.seen[0].command == COMMAND
    (note,) = [one.note for one in world.posted if "OOMKilled" in one.reason]
    (line,) = [record for record in caplog.records if record.getMessage().startswith("OOM kill in")]
    fields = vars(line)["fields"]
    assert (COMMAND in line.getMessage(), fields["seen"][0]["command"]) == (
        (False, "") if command_lines == "history" else (True, COMMAND)
    )
    assert f"Process: {COMMAND if command_lines == 'events' else 'python3'} ← tini" in note
    assert "abc" not in repr(kill) + note + line.getMessage() + repr(fields)
    world.end()


def test_the_next_kill_of_the_same_event_does_not_change_its_note(tmp_path: Path) -> None:
    world = a_kill(tmp_path, "events")
    before = [one.note for one in world.posted if "OOMKilled" in one.reason]
    world.kill()
    for _ in range(8):
        world.turn(after_s=0.2)
    assert [one.note for one in world.posted if "OOMKilled" in one.reason][: len(before)] == before
    world.end()


def test_the_processes_of_a_container_are_kept_for_the_namespace_of_its_pod(tmp_path: Path) -> None:
    asked: list[Callable[[str], str]] = []
    world = World(tmp_path, kmsg=True, processes=lambda _, namespace_of: asked.append(namespace_of))
    world.listed(pod({MODE: "single"}))
    world.make(knob=1)
    (namespace_of,) = asked
    assert namespace_of(CONTAINER) == pod({}).namespace
    assert namespace_of("kubepods") == ""
    world.end()


def test_processes_are_read_when_the_loop_has_nothing_else_to_do(tmp_path: Path) -> None:
    told: list[bool] = []
    world = World(tmp_path, kmsg=True)
    world.node.kills.seen = cast(Any, SimpleNamespace(release=lambda *, waits: told.append(waits)))
    world.node.kills.before_wait(0.0)
    world.node.kills.before_wait(0.5)
    assert told == [False, True]
    world.node.kills.seen = None
    world.end()
