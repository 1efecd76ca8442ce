"""What is typed reaches its command, and what goes wrong becomes a sentence and an exit code."""

from __future__ import annotations

import runpy
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import __version__, cli
from agent.cli import COMMANDS, EXIT_USAGE, main
from agent.commands import EXIT_FAILED, EXIT_OK
from agent.commands.output.table import Output
from agent.kernel import scheduling
from agent.ledger import Ledger
from agent.model import AgentError, OomKill
from agent.settings import Settings
from tests.unit.patience import PATIENCE_S, wait_until
from tests.unit.wording.kills import KILL

NODE = ("--node-name", "node-1")
CALLS = {
    "run": (("run", *NODE), "agent.run.run", (), {}),
    "once": (("once", *NODE), "agent.commands.once.apply", (Output.TABLE,), {}),
    "once --dry-run": (("once", "--dry-run", *NODE), "agent.commands.once.dry_run", (Output.TABLE,), {}),
    "once --restore": (("once", "--restore"), "agent.commands.once.restore", (Output.TABLE,), {}),
    "check": (("check", "--output", "json", *NODE), "agent.commands.check.check", (Output.JSON,), {}),
    "ps": (("ps", *NODE), "agent.commands.ps.ps", (Output.TABLE,), {"watch_s": None}),
    "ps --watch": (("ps", "--watch", *NODE), "agent.commands.ps.ps", (Output.TABLE,), {"watch_s": 2.0}),
    "ps --watch 1m": (("ps", "--watch", "1m", *NODE), "agent.commands.ps.ps", (Output.TABLE,), {"watch_s": 60.0}),
    "explain": (("explain", "herder-1", *NODE), "agent.commands.explain.explain", ("herder-1", Output.TABLE), {}),
    "oom-policy": (("oom-policy", "show"), "agent.commands.oom_policy.oom_policy", ("show", Output.TABLE), {}),
    "diagnose": (("diagnose", *NODE), "agent.commands.diagnose.diagnose", (None, Output.TABLE), {}),
    "diagnose POD": (("diagnose", "a/b", *NODE), "agent.commands.diagnose.diagnose", ("a/b", Output.TABLE), {}),
    "history": (
        ("history", "--namespace", "n", "--pod", "p", "--since", "6h", "--limit", "7"),
        "agent.commands.history.history",
        (Output.TABLE,),
        {"namespace": "n", "pod": "p", "since_s": 21600.0, "limit": 7},
    ),
}


@pytest.mark.parametrize(("words", "wanted"), [((), ["raised"]), (("--real-time", "false"), ["raised", "suspended"])])
def test_a_command_comes_first_from_its_beginning_unless_that_is_not_wanted(
    words: tuple[str, ...], wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a node whose processors are busy `kubectl exec … oomward explain` would take minutes else."""
    done: list[str] = []
    monkeypatch.setattr(scheduling, "raise_priority", lambda: done.append("raised"))
    monkeypatch.setattr(scheduling, "suspend_real_time", lambda: done.append("suspended"))
    monkeypatch.setattr("agent.commands.ps.ps", lambda *_, **__: 0)
    main(("ps", *NODE, *words))
    assert done == wanted


def test_a_command_that_goes_on_gives_real_time_up_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """``ps --watch`` runs until Ctrl-C, and has no budget as the agent has."""
    done: list[str] = []
    monkeypatch.setattr(cli, "REAL_TIME_S", 0.01)
    monkeypatch.setattr(scheduling, "suspend_real_time", lambda: done.append("suspended"))
    monkeypatch.setattr("agent.commands.ps.ps", lambda *_, **__: wait_until(lambda: bool(done), "real time given up"))
    main(("ps", "--watch", *NODE))
    assert done == ["suspended"]


def test_the_agent_keeps_it_since_it_has_a_budget_and_a_command_that_ends_leaves_no_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.run.run", lambda *_: _timers())
    monkeypatch.setattr("agent.commands.ps.ps", lambda *_, **__: _timers())
    assert (main(("run", *NODE)), main(("ps", *NODE)), _timers()) == (0, 1, 0)


def _timers() -> int:
    return sum(isinstance(thread, threading.Timer) and not thread.finished.is_set() for thread in threading.enumerate())


@pytest.mark.parametrize("call", CALLS)
def test_what_is_typed_reaches_its_command(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    typed, command, wanted, named = CALLS[call]
    seen: list[tuple[tuple[object, ...], dict[str, object]]] = []

    def instead(*arguments: Any, **more: object) -> int:
        seen.append((arguments, more))
        return 41

    monkeypatch.setattr(command, instead)
    assert main(typed) == 41
    ((arguments, more),) = seen
    assert isinstance(arguments[0], Settings)
    assert tuple(a for a in arguments[1:] if a is not sys.stdout) == wanted
    assert more == named


def test_every_command_is_called_here() -> None:
    assert {typed[0] for typed, *_ in CALLS.values()} == set(COMMANDS)


def test_a_failure_is_a_sentence_and_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> int:
        raise AgentError("no wood: bring some")

    monkeypatch.setattr("agent.run.run", fail)
    assert main(("run", *NODE)) == EXIT_FAILED == 1
    assert capsys.readouterr().err == "oomward: no wood: bring some\n"


def test_wrong_settings_are_a_sentence_and_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("NODE_NAME", "OOMWARD_NODE_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert main(("run",)) == EXIT_USAGE == 2
    assert "nodeName is not set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("ps", "--watch", "soon"), "soon"),
        (("ps", "--watch", "0.1s"), "at least 0.5 s"),
        (("history", "--since", "yesterday"), "yesterday"),
        (("history", "--limit", "0"), "whole number of at least 1"),
        (("history", "--limit", "٣"), "whole number of at least 1"),
        (("sing",), "invalid choice"),
        ((), "COMMAND"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_can_not_be_meant_is_said_and_two(
    typed: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(typed)
    assert ended.value.code == EXIT_USAGE
    assert said in capsys.readouterr().err


def test_the_version_is_told_by_the_module_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["oomward", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("agent", run_name="__main__")
    assert ended.value.code == EXIT_OK
    assert capsys.readouterr().out == f"oomward {__version__}\n"


def test_a_reader_that_leaves_is_no_failure(tmp_path: Path) -> None:
    """As in ``oomward history | head -1``, with more than a pipe holds."""
    ledger = Ledger.open(tmp_path, "boot")
    ledger.record([_kill(number) for number in range(3000)], (), None)
    ledger.close()
    command = [sys.executable, "-m", "agent", "history", "--state-dir", str(tmp_path), "--limit", "3000"]
    with subprocess.Popen(
        [*command, "--output", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_S) == EXIT_OK
        (line,) = process.stderr.read().splitlines()
        assert line.startswith("oomward: no agent answers")


def _kill(number: int) -> OomKill:
    return replace(KILL, ordinal=number)
