"""The loop: everything that happens reaches the node, in its own thread, and what must not end ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import agent.loop.loop as loop_module
from agent.loop.loop import STUCK_S, Loop
from agent.loop.mailbox import Mailbox
from agent.loop.node import ThreadDiedError
from agent.model import PodsListed, ThreadDied
from agent.settings import RulesFile, load
from tests.unit.cgroup.fakes import make
from tests.unit.loop.world import CONTAINER, MODE, World, pod
from tests.unit.patience import PATIENCE_S, wait_until


class Running:
    """A loop in a thread of its own, on a node of ordinary directories."""

    def __init__(self, tmp_path: Path) -> None:
        self.config = tmp_path / "config.yaml"
        self.config.write_text("{}\n")
        self.world = World(tmp_path)
        self.mailbox = Mailbox()
        settings = load({"node_name": "node-1", "config": str(self.config)}, {})
        world = self.world
        log: Any = SimpleNamespace(
            sequence=None,
            trouble=None,
            more=False,
            unread=False,
            fileno=lambda: None,
            read=lambda *_: [],
            due_s=lambda: None,
        )
        self.loop = Loop(world.node, log, self.mailbox, RulesFile(self.config), settings)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.loop.run()
        except ThreadDiedError as error:
            self.error = error

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the condition; fails after PATIENCE_S."""
        wait_until(condition, "what the loop should do")


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(loop_module, "HOUSEKEEPING_S", 0.02)
    running = Running(tmp_path)
    running.thread.start()
    yield running
    running.loop.stop()
    running.thread.join(PATIENCE_S)
    assert not running.thread.is_alive()
    running.world.end()
    running.mailbox.close()


def test_a_message_and_a_write_meet_in_the_loop(running: Running) -> None:
    running.mailbox.put(PodsListed((pod({MODE: "single"}, ids={"main": None}),), "1"))
    running.until(lambda: running.world.node.ready()[0])
    make(running.world.mount, CONTAINER)
    running.until(lambda: CONTAINER in running.world.tree.cgroups)
    with (running.world.mount / CONTAINER / "memory.oom.group").open("r+") as knob:  # a control file is never empty
        knob.write("1\n")
    running.until(lambda: running.world.knob() == 0)


def test_a_changed_configuration_takes_effect_and_a_bad_one_is_refused(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    running.mailbox.put(PodsListed((pod(),), "1"))
    make(running.world.mount, CONTAINER, memory__oom__group="1\n")
    running.until(lambda: CONTAINER in running.world.tree.cgroups)
    running.config.write_text("rules: [{name: all, mode: single}]\n")
    running.until(lambda: running.world.knob() == 0)
    running.config.write_text("rules: [{name: all, mode: sngle}]\n")
    running.until(lambda: "oomward_config_reload_failures_total 1.0" in running.world.metrics.page()[1].decode())
    assert running.world.metric("oomward_config_last_reload_successful") == 0
    assert (running.world.metric("oomward_config_last_reload_success_timestamp_seconds") or 0.0) > 0.0, (
        "of the one before"
    )
    running.until(lambda: f"{running.config}:1" in caplog.text)
    assert running.world.knob() == 0, "the rules in force stay"


def test_a_changed_setting_is_reported_as_one_that_needs_a_restart(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    running.config.write_text("logLevel: debug\nrules: []\n")
    running.until(lambda: "changed settings take effect when the agent is restarted: logLevel" in caplog.text)
    assert "new rules" not in caplog.text


def test_a_thread_that_died_ends_the_loop_with_the_reason(running: Running) -> None:
    running.mailbox.put(ThreadDied("pod watch", "it returned"))
    running.thread.join(PATIENCE_S)
    assert isinstance(running.error, ThreadDiedError)


def test_every_turn_of_the_loop_is_a_sign_of_life(running: Running) -> None:
    running.loop.last_beat_monotonic_s -= STUCK_S + 1
    before = running.loop.last_beat_monotonic_s
    running.mailbox.wake()
    running.until(lambda: running.loop.last_beat_monotonic_s > before + STUCK_S)


def test_a_stop_in_the_midst_of_a_turn_is_known_before_anything_of_that_turn_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a container that was killed, and then ended by somebody, while the agent was stopped would be called dead by the kill."""
    running = Running(tmp_path)
    node, done = running.world.node, list[str]()
    monkeypatch.setattr(node.kills.attribution, "was_away", lambda _now: done.append("known"))
    monkeypatch.setattr(node, "after", lambda _now, _sequence: done.append("recorded"))
    monkeypatch.setattr(running.loop, "_drain", running.loop.continued)  # the first step in a turn that may be long
    running.loop._turn(running.world.now)
    assert done == ["known", "recorded"]
    running.world.end()
    running.mailbox.close()


def test_a_write_in_the_midst_of_a_slow_full_look_is_answered_before_its_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's start waits for one step of whatever else goes on, not for all of it."""
    monkeypatch.setattr(loop_module, "DRAIN_EVERY_S", 0.0)
    running = Running(tmp_path)
    world = running.world
    world.told(pod({MODE: "single"}))
    world.make(knob=1)
    glance = world.node.between
    seen: list[int] = []
    written: list[int] = []

    def between() -> None:
        if not written:
            written.append((world.mount / CONTAINER / "memory.oom.group").write_text("1\n"))
        glance()
        seen.append(world.knob())

    world.node.between = between
    world.node.resync(world.now)
    assert len(seen) > 3
    assert set(seen) == {0}
    assert world.metric("oomward_drift_corrections_total") == 1
    assert world.metric("oomward_resync_corrections_total") == 0
    world.end()
    running.mailbox.close()
