"""The API's stand-in and an agent that runs against it in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.apiserver import ApiServer
from tests.unit.run.running import Agent


@pytest.fixture
def api() -> Iterator[ApiServer]:
    api = ApiServer(bookmark_s=0.05, history=20)
    api.start()
    yield api
    api.close()


@pytest.fixture
def agent(tmp_path: Path, api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    agent = Agent(tmp_path, api, monkeypatch)
    yield agent
    agent.close()
