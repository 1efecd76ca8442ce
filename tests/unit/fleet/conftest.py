"""A cluster of simulated agents, and kubectl's stand-in on PATH."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from tests.lab import kubectl
from tests.lab.fleet import Cluster


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Oomward = Callable[..., Done]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three nodes with an agent and two pods each, one in shop and one in lab."""
    made = Cluster()
    made.server.start()
    yield made
    made.server.close()


@pytest.fixture
def oomward(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Oomward:
    """``kubectl oomward …`` in this process."""
    programs = tmp_path / "bin"
    programs.mkdir()
    kubectl.install(programs)
    cluster.server.write_kubeconfig(tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)

    def run(*words: str) -> Done:
        try:
            code = main(["--all-nodes", *words])
        except SystemExit as ended:
            code = int(str(ended.code))
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run
