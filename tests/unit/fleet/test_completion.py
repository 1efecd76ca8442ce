"""What kubectl offers after ``kubectl oomward …``: commands, options, and values that are known or that kubectl lists."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent.fleet.completion import completed
from agent.fleet.main import run
from tests.unit.docs.pages import ROOT

KUBECTL = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/asked"
case "$2" in
namespaces) printf 'namespace/shop\\nnamespace/staging\\nnamespace/data\\nnamespace/$(evil)\\n' ;;
nodes) printf 'node/node-1\\nnode/node-2\\n' ;;
esac
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubectl that lists; what it was asked is in this file."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "asked"


def offered(*words: str) -> tuple[list[str], str]:
    """Without descriptions; and what else may be completed."""
    *lines, directive = completed(words).splitlines()
    return [line.partition("\t")[0] for line in lines], directive


def test_the_first_word_is_a_command_with_what_it_does() -> None:
    assert offered("h") == (["history", "help"], ":4")
    assert offered("help", "to") == (["top"], ":4")
    assert offered("")[0][:2] == ["ps", "top"]
    assert "completion" in offered()[0]
    assert completed(["to"]).startswith("top\tlist the containers by how near")


def test_an_option_is_completed_and_so_are_its_values() -> None:
    assert offered("history", "--so") == (["--sort-by"], ":4")
    assert offered("history", "--sort-by", "o") == (["outcome"], ":4")
    assert offered("advise", "-o", "p") == (["patch"], ":4")
    assert offered("ps", "--output=y") == (["--output=yaml"], ":4")
    assert "--html" not in offered("ps", "--")[0]


def test_namespaces_and_nodes_are_those_of_the_cluster_that_the_words_choose(asked: Path) -> None:
    assert offered("--context", "prod", "ps", "-n", "s") == (["shop", "staging"], ":4")
    assert offered("check", "node-") == (["node-1", "node-2"], ":4")
    assert offered("ps", "--as=me", "--node", "") == (["node-1", "node-2"], ":4")
    first, *_, last = asked.read_text().splitlines()
    assert first == "get namespaces --output=name --request-timeout=3s --context=prod"
    assert last.endswith(" --as=me")


def test_a_file_is_left_to_the_shell() -> None:
    assert offered("report", "--html", "x") == ([], ":0")
    assert offered("ps", "--kubeconfig", "") == ([], ":0")


def test_without_a_cluster_nothing_is_offered_and_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert offered("ps", "-n", "") == ([], ":4")
    assert offered("explain", "sho") == ([], ":4")
    assert offered("ps", "--timeout", "") == ([], ":4")
    assert capfd.readouterr() == ("", "")


def test_the_program_that_completion_prints_is_a_shells_and_asks_the_plugin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["completion"]) == 0
    program = tmp_path / "kubectl_complete-oomward"
    program.write_text(capsys.readouterr().out)
    program.chmod(0o700)
    plugin = tmp_path / "kubectl-oomward"
    plugin.write_text(
        f"#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -c 'from agent.cli import kubectl_plugin as p; raise SystemExit(p())' \"$@\"\n"
    )
    plugin.chmod(0o700)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([program, "ev"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("events\t")
    assert done.stdout.endswith("\n:4\n")
