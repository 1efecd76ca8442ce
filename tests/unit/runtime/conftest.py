"""The node that these tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.runtime.world import SystemdNode


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SystemdNode:
    return SystemdNode(tmp_path / "node", monkeypatch)
