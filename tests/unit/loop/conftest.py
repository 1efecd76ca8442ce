"""Every test of this room: this machine's own OOM kills are not the tests', unless one says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import agent.loop.kills as kills_module
import agent.pods.lookup as facts_module
from tests.unit.loop.world import World


@pytest.fixture(autouse=True)
def quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kills_module, "node_oom_kills", lambda: 0)
    monkeypatch.setattr(facts_module, "node_oom_kills", lambda: 0)
    monkeypatch.setattr(kills_module, "is_first_pid_namespace", lambda: True)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.end()
