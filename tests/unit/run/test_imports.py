"""The agent in a cluster imports what it needs there, and no more: a module costs memory on every node."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.apiserver import ApiServer

# kubernetes: 20 MiB resident, for kubeconfigs only. rich: for the commands. The others: for no one but those.
SPARED = (
    "kubernetes",
    "pydantic",
    "requests",
    "dateutil",
    "rich",
    "jsonschema",
    "agent.commands",
)
TOP = "import sys; print(' '.join(sys.modules))"


def modules(statement: str) -> set[str]:
    """What is imported after a statement, in a new process."""
    command = [sys.executable, "-c", f"{statement}; {TOP}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split())


@pytest.mark.parametrize("module", SPARED)
def test_the_agent_runs_without(module: str, imported: set[str]) -> None:
    assert not [name for name in imported if name == module or name.startswith(f"{module}.")]


@pytest.fixture(scope="module")
def imported() -> set[str]:
    found = modules("import agent.run")
    assert {"agent.run", "urllib3", "ssl"} <= found
    return found


def test_a_kubeconfig_brings_the_package_that_reads_it(tmp_path: Path) -> None:
    server = ApiServer()
    server.write_kubeconfig(tmp_path / "kubeconfig")
    server.close()
    connect = f"api.connect(pathlib.Path({str(tmp_path / 'kubeconfig')!r}), user_agent='')"
    assert "kubernetes.config" in modules(f"import pathlib, agent.kube.api as api; {connect}")
