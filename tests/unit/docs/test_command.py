"""The command as it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from agent import __version__

OOMWARD = Path(sys.executable).with_name("oomward")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(OOMWARD), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", **environment}, timeout=60
    )


def test_it_tells_its_version() -> None:
    assert run("--version").stdout == f"oomward {__version__}\n"


def test_the_module_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"oomward {__version__}\n"


def test_without_a_node_name_it_says_how_to_give_one_and_begins_nothing() -> None:
    done = run("run")
    assert done.returncode == 2
    assert "NODE_NAME" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_an_api_it_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    done = run(
        "run",
        "--node-name",
        "n",
        "--state-dir",
        str(tmp_path),
        "--kubeconfig",
        str(tmp_path / "none"),
        "--kmsg",
        str(tmp_path / "k"),
    )
    assert done.returncode == 1
    assert "kubeconfig" in done.stderr
    assert "Traceback" not in done.stderr
