"""The nodes that the commands look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.apiserver import ApiServer
from tests.unit.commands.world import LookedAtNode


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def node(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LookedAtNode:
    """Without a word about the terminal."""
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return LookedAtNode(tmp_path, api, monkeypatch)
