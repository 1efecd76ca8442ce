"""What is typed reaches its command, and what goes wrong becomes a sentence and an exit code."""

from __future__ import annotations

import errno
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import pytest

from agent import __version__, cli
from agent.cli import EXIT_INTERRUPTED, main
from agent.commands import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from agent.commands.arguments import COMMANDS, TALK
from agent.commands.output.table import Output, show
from agent.fleet import arguments
from agent.kernel import scheduling
from agent.ledger import Ledger
from agent.look.which import ANY, Which
from agent.model import AgentError, OomKill
from agent.serve.answers import Answers
from agent.serve.protocol import SOCKET
from agent.serve.server import CommandServer
from agent.settings import Settings, load
from agent.wording.view import Shown
from tests.unit.patience import PATIENCE_S, wait_until
from tests.unit.wording.kills import KILL

NODE = ("--node-name", "node-1")
CALLS = {
    "run": (("run", *NODE), "agent.run.run", (), {}),
    "once": (("once", *NODE), "agent.commands.once.apply", (Output.TABLE,), {}),
    "once --dry-run": (("once", "--dry-run", *NODE), "agent.commands.once.dry_run", (Output.TABLE,), {}),
    "once --restore": (("once", "--restore"), "agent.commands.once.restore", (Output.TABLE,), {}),
    "check": (("check", "--output", "json", *NODE), "agent.commands.check.check", (Output.JSON,), {}),
    "ps": (("ps", *NODE), "agent.commands.ps.ps", (Output.TABLE,), {"which": ANY, "watch_s": None}),
    "ps --watch": (("ps", "--watch", *NODE), "agent.commands.ps.ps", (Output.TABLE,), {"which": ANY, "watch_s": 2.0}),
    "ps --watch 1m": (
        ("ps", "--watch", "1m", *NODE),
        "agent.commands.ps.ps",
        (Output.TABLE,),
        {"which": ANY, "watch_s": 60.0},
    ),
    "explain": (
        ("explain", "herder-1", *NODE),
        "agent.commands.explain.explain",
        ("herder-1", Output.TABLE),
        {"namespace": None, "watch_s": None},
    ),
    "oom-policy": (("oom-policy", "show"), "agent.commands.oom_policy.oom_policy", ("show", Output.TABLE), {}),
    "diagnose": (
        ("diagnose", *NODE),
        "agent.commands.diagnose.diagnose",
        (None, Output.TABLE),
        {"which": ANY, "watch_s": None},
    ),
    "advise": (
        ("advise", *NODE),
        "agent.commands.advise.advise",
        (Output.TABLE,),
        {"which": ANY, "watch_s": None, "since_unix_s": None},
    ),
    "advise --since": (
        ("advise", "--since", "2026-01-01T00:00:00Z", "--output", "patch", *NODE),
        "agent.commands.advise.advise",
        (Output.PATCH,),
        {"which": ANY, "watch_s": None, "since_unix_s": 1767225600.0},
    ),
    "diagnose POD": (
        ("diagnose", "a/b", *NODE),
        "agent.commands.diagnose.diagnose",
        ("a/b", Output.TABLE),
        {"which": ANY, "watch_s": None},
    ),
    "uninstall": (
        ("uninstall", "--stay"),
        "agent.commands.uninstall.uninstall",
        (Output.TABLE,),
        {"stay": True, "done": False},
    ),
    "recover": (("recover",), "agent.commands.recover.recover", (None,), {}),
    "recover --policy": (("recover", "--policy", "p.yaml"), "agent.commands.recover.recover", (Path("p.yaml"),), {}),
    "report": (
        ("report", "--html", "page.html", "-n", "n", "--since", "2026-01-01T01:00:00+01:00", *NODE),
        "agent.commands.report.report",
        ("page.html",),
        {"namespace": "n", "since_unix_s": 1767225600.0},
    ),
    "history": (
        (
            "history",
            "-n",
            "n",
            "--pod",
            "p",
            "--since",
            "2026-01-01T01:00:00+01:00",
            "--limit",
            "7",
            "--sort-by",
            "limit",
        ),
        "agent.commands.history.history",
        (Output.TABLE,),
        {"which": Which("n", None, "limit"), "pod": "p", "since_unix_s": 1767225600.0, "limit": 7, "watch_s": None},
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


def test_a_command_for_the_whole_cluster_that_is_typed_for_a_node_is_said_to_be_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert set(cli.OF_CLUSTER_ONLY) == set(arguments.COMMANDS) - set(COMMANDS)
    with pytest.raises(SystemExit) as ended:
        main(["top", "-A"])
    assert ended.value.code == 2
    assert "top is about the whole cluster: kubectl oomward top" in capsys.readouterr().err


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
    assert {typed[0] for typed, *_ in CALLS.values()} == set(COMMANDS) - set(TALK)


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


# --------------------------------------------------------------------------------------------- what becomes of the output


def printing(output: Output, file: TextIO) -> int:
    """As commands print."""
    column = {"header": "ROW", "right": False, "spare": 0}
    rows = ["x" * 100] * 1000
    show(
        Shown({"rows": rows}, {"columns": [column], "rows": [[[(row, "")]] for row in rows], "nothing": ""}, []),
        output,
        file,
    )
    return 0


def instead(monkeypatch: pytest.MonkeyPatch, call: str, do: Callable[..., int]) -> tuple[str, ...]:
    """The words that call the command, which is ``do`` now."""
    typed, command, *_ = CALLS[call]
    monkeypatch.setattr(command, do)
    return typed


@pytest.fixture(autouse=True)
def no_agent_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OOMWARD_STATE_DIR", str(tmp_path / "nowhere"))


PRINT = sorted(set(CALLS) - {"run"})


@pytest.fixture(params=["plain", "terminal"])
def looks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output is for a pipe, or by rich."""
    if request.param == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")


@pytest.mark.usefixtures("looks")
@pytest.mark.parametrize("output", [Output.TABLE, Output.JSON])
@pytest.mark.parametrize("call", PRINT)
def test_nobody_reads_what_a_command_prints_any_more_and_that_is_no_failure(
    call: str, output: Output, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = instead(monkeypatch, call, lambda *_, **__: printing(output, sys.stdout))
    reader, writer = os.pipe()
    os.close(reader)
    with capsys.disabled(), os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        monkeypatch.setattr(sys, "stderr", StringIO())
        assert main(typed) == EXIT_OK


@pytest.mark.usefixtures("looks")
@pytest.mark.parametrize("output", [Output.TABLE, Output.JSON])
@pytest.mark.parametrize("call", PRINT)
def test_output_that_can_not_be_written_is_a_sentence_and_one(
    call: str, output: Output, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = instead(monkeypatch, call, lambda *_, **__: printing(output, sys.stdout))
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(typed) == EXIT_FAILED
    assert capsys.readouterr().err.splitlines()[-1] == "oomward: [Errno 28] No space left on device"


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_ends_a_command_without_a_traceback(
    call: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    assert main(instead(monkeypatch, call, interrupted)) == EXIT_INTERRUPTED == 130


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE], ids=errno.errorcode.get)
def test_without_a_free_descriptor_a_command_says_what_to_do(
    call: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhausted(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    assert main(instead(monkeypatch, call, exhausted)) == EXIT_FAILED
    said = capsys.readouterr().err
    assert "raise the limit of open files" in said
    assert "Traceback" not in said


def test_a_fault_of_the_agents_own_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EBADF, "a descriptor of ours is closed")

    monkeypatch.setattr("agent.run.run", fail)
    assert main(("run", *NODE)) == EXIT_FAILED
    assert "Traceback" in capsys.readouterr().err


@pytest.fixture(params=["without an agent", "beside an agent"])
def state(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A state folder with one kill; beside an agent with its socket."""
    ledger = Ledger.open(tmp_path, "boot")
    ledger.record([KILL], (), None)
    ledger.close()
    if request.param == "without an agent":
        yield tmp_path
        return
    settings = load({"state_dir": str(tmp_path), "node_name": "node-1"}, {})
    not_needed: Any = None
    server = CommandServer(tmp_path, Answers(settings, not_needed, not_needed, not_needed).answer)
    server.start()
    yield tmp_path
    server.close()


@pytest.mark.parametrize("limit", ["99999999999999999999", "9" * 5000, "0" * 30 + "7"], ids=["20", "5000", "zeros"])
def test_any_number_of_kills_can_be_asked_for(limit: str, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("history", "--state-dir", str(state), "--limit", limit)) == EXIT_OK
    out, err = capsys.readouterr()
    assert "herder-1" in out
    assert (err == "") == (state / SOCKET).exists()


@pytest.mark.parametrize("option", ["--since", "--watch", "--resync-interval", "--kill-retention-count"])
def test_other_numbers_without_an_end_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = {"--since": "history", "--watch": "ps"}.get(option, "run")
    for number in ("99999999999999999999", "99999999999999999999h", "9" * 5000, "1e999"):
        with suppress(SystemExit):
            assert main((command, *NODE, option, number)) == EXIT_USAGE
        assert "Traceback" not in capsys.readouterr().err


SHELL = [
    ("history --state-dir {state} | true", 0),
    ("history --state-dir {state} --output json | true", 0),
    ("history --state-dir {state} > /dev/full", EXIT_FAILED),
    ("history --state-dir {state} >&-", EXIT_FAILED),
    ("history --state-dir {state} > /dev/null 2>&-", 0),
    ("history --state-dir {state} <&-", 0),
    ("diagnose -f - <&-", EXIT_FAILED),
    ("recover --policy /nowhere 2>&-", EXIT_USAGE),
    ("--help | true", 0),
    ("ps --help > /dev/full", EXIT_FAILED),
    ("--version > /dev/full", EXIT_FAILED),
    ("ps 2> /dev/full", EXIT_USAGE),
    ("check --node-name n --cgroup-mount /nowhere > /dev/full", EXIT_FAILED),
    ("explain p --node-name n --cgroup-mount /nowhere 2> /dev/full", EXIT_FAILED),
]


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(("line", "code"), SHELL, ids=[line for line, _ in SHELL])
def test_in_a_shell_too(line: str, code: int, unbuffered: str, state: Path) -> None:
    shell = f"set -o pipefail; {sys.executable} -m agent {line.format(state=state)}"
    environ = {key: value for key, value in os.environ.items() if not key.endswith("NODE_NAME")}
    environ["PYTHONUNBUFFERED"] = unbuffered
    ended = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=environ, check=False)
    assert (ended.returncode, ended.stderr.count("Traceback"), ended.stderr.count("Exception ignored")) == (code, 0, 0)
    assert "reads the node itself" not in ended.stderr or not (state / SOCKET).exists() or "{state}" not in line


@pytest.mark.parametrize("call", [call for call in CALLS if call != "run"])
def test_a_mistake_in_the_configuration_file_stops_no_command_that_only_looks(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "resyncInterval: never\ntlsCert: /x\nrules:\n- name: x\n  mode: sinlge\n- name: y\n  mode: single\n"
    )
    seen: list[Settings] = []

    def looks(settings: Settings, *_: object, **__: object) -> int:
        seen.append(settings)
        return 0

    code = main((*instead(monkeypatch, call, looks), "--config", str(config)))
    said = capsys.readouterr().err
    assert all(text in said for text in ("config.yaml:1", "config.yaml:5", "tlsCert is set without tlsKey"))
    if call.startswith(("once", "recover")):
        assert (code, seen) == (EXIT_USAGE, []), "it writes: the rest of the rules may be for other pods"
        return
    assert code == EXIT_OK
    assert "in force is what the agent read before" in said
    assert [rule.name for rule in seen[0].rules.rules] == ["y"]
    assert seen[0].resync_interval_s > 0
