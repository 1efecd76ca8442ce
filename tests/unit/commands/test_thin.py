"""Commands beside an agent: what they import, when they ask the agent, when they read the node themselves, and how they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.cli import EXIT_INTERRUPTED, main
from agent.commands import EXIT_FAILED, EXIT_OK, EXIT_USAGE, thin, watching
from agent.commands.asking import NoAgentError, ask
from agent.commands.output.table import Output
from agent.commands.watching import ReaderGoneError, wait_beside
from agent.serve import protocol
from agent.serve.server import CommandServer
from agent.settings import SETTINGS
from agent.wording.view import Shown
from tests.unit.patience import PATIENCE_S, wait_until

HEAVY = ("kubernetes", "urllib3", "psutil", "rich", "yaml", "sqlite3", "dataclasses", "agent.model", "agent.settings")
T = "2026-01-01T00:00:00Z"
ROWS = [{"pod": "herder-1"}]
SHOWN = Shown({"containers": ROWS}, {"columns": [], "rows": [], "nothing": "No containers of pods."}, [])


class Asked(list[tuple[str, dict[str, Any], bool]]):
    """The requests; ``answer`` may be changed."""

    answer: Callable[[], bytes] | None = None

    def take(self, line: bytes) -> bytes:
        self.append(protocol.read_request(line))
        return self.answer() if self.answer else protocol.answer_line(SHOWN, document=self[-1][2])


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """An agent that answers always the same."""
    monkeypatch.setenv("OOMWARD_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("OOMWARD_CONFIG", raising=False)
    requests = Asked()
    server = CommandServer(tmp_path, requests.take)
    server.start()
    yield requests
    server.close()


@contextmanager
def silent_agent(state: Path) -> Iterator[socket.socket]:
    """It takes connections, and says nothing."""
    with socket.socket(socket.AF_UNIX) as silent:
        with protocol.socket_path(str(state)) as address:
            silent.bind(address)
        silent.listen()
        yield silent


def in_a_process(*words: str, after: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
    """``oomward`` as its own process, then a statement."""
    run = f"import sys; from agent.cli import main; code = main(); {after or 'sys.exit(code)'}"
    command = [sys.executable, "-c", run, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S, **more)


@pytest.mark.parametrize(
    "words",
    [
        ("ps",),
        ("ps", "--output", "json"),
        ("history", "--since", "6h"),
        ("explain", "a"),
        ("diagnose", "--all"),
        ("advise",),
    ],
)
def test_beside_an_agent_a_command_imports_nothing_heavy(words: tuple[str, ...], asked: Asked) -> None:
    listed = "print('imported', *sys.modules, file=sys.stderr)"
    imported = set(in_a_process(*words, after=listed).stderr.split())
    assert "imported" in imported
    assert [name for name in imported if name in HEAVY or name.startswith(tuple(f"{one}." for one in HEAVY))] == []
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("ps",), ("ps", {}, False)),
        (("ps", "-n", "shop", "-l", "a=b", "-o", "wide"), ("ps", {"namespace": "shop", "selector": "a=b"}, False)),
        (("ps", "-A", "--sort-by", "kills", "-o", "name"), ("ps", {"sort_by": "kills"}, True)),
        (("explain", "-n", "shop", "-o", "yaml", "a"), ("explain", {"namespace": "shop", "pod": "a"}, True)),
        (("ps", "--output=json", "--node-name", "n"), ("ps", {"node": "n"}, True)),
        (("explain", "a/b"), ("explain", {"pod": "a/b"}, False)),
        (("diagnose",), ("diagnose", {}, False)),
        (("diagnose", "--all"), ("diagnose", {}, False)),
        (("advise", "--since", T), ("advise", {"since_unix_s": 1767225600.0}, False)),
        (("advise", "--output", "json"), ("advise", {}, True)),
        (
            ("history", "--since", T, "--namespace", "n", "--pod", "p", "--limit", "7"),
            ("history", {"namespace": "n", "pod": "p", "limit": 7, "since_unix_s": 1767225600.0}, False),
        ),
    ],
)
def test_what_is_typed_reaches_the_agent(words: tuple[str, ...], wanted: object, asked: Asked) -> None:
    assert main(words) == EXIT_OK
    assert asked == [wanted]


@pytest.mark.parametrize(
    "words",
    [
        ("ps", "--cgroup-root", "kubepods"),
        ("ps", "--help"),
        ("ps", "--watch", "soon"),
        ("explain",),
        ("history", "--limit", "0"),
        ("diagnose", "-f", "pod.json"),
        ("diagnose", "--file=-", "--output", "json"),
        ("check",),
        ("run",),
        (),
    ],
)
def test_what_is_not_for_the_agent_is_left_to_the_command_itself_without_a_word(
    words: tuple[str, ...], asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert thin.run(words) is None
    assert (asked, capsys.readouterr()) == ([], ("", ""))


def test_patches_are_printed_from_the_agents_document(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    patch = {
        "namespace": "shop",
        "workload_kind": "Job",
        "workload": "load",
        "reasons": ["w"],
        "patch": None,
        "kubectl_command": None,
        "advice": "t",
    }
    shown = Shown({"patches": [patch, patch | {"kubectl_command": "kubectl patch"}]}, None, [])
    asked.answer = lambda: protocol.answer_line(shown, document=True)
    assert main(("advise", "--output", "patch")) == EXIT_OK
    lines = ["# Job shop/load, w", "# Job shop/load: no patch; t", "# Job shop/load, w", "kubectl patch"]
    assert capsys.readouterr().out.splitlines() == lines
    assert asked == [("advise", {}, True)]


def test_without_an_agent_that_is_said_in_one_line_and_the_command_reads_the_node_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert thin.run(("ps", "--state-dir", str(tmp_path))) is None
    why = f"no agent answers at {tmp_path}/agent.sock (No such file or directory)"
    assert capsys.readouterr() == ("", f"oomward: {why}: this command reads the node itself\n")


def test_a_refusal_is_said_and_the_command_reads_the_node_itself(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.answer = lambda: protocol.refused_line("the agent sends at most 1000 kills")
    assert thin.run(("history", "--limit", "2000")) is None
    assert "does not answer this: the agent sends at most 1000 kills: this command reads" in capsys.readouterr().err


def test_an_agent_of_another_version_is_not_understood_and_that_is_said(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.answer = lambda: b'{"oomward": 2, "rows": []}\n'
    assert thin.run(("ps",)) is None
    assert "the answer does not have version 1 of the protocol" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [b"", b"{", b'{"oomward": 1, "document": {}', b"\xff\n"])
def test_an_answer_that_breaks_off_is_no_answer(answer: bytes, asked: Asked) -> None:
    asked.answer = lambda: answer or b"\n"
    assert thin.run(("ps",)) is None


def test_an_agent_that_hangs_is_left_alone_after_a_moment(tmp_path: Path) -> None:
    with silent_agent(tmp_path), pytest.raises(NoAgentError, match="took too long"):
        ask(str(tmp_path), "ps", {}, document=True, time_s=0.05)


def test_ctrl_c_ends_a_command_that_waits_for_the_agent_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent", "ps", "--state-dir", str(tmp_path)]
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell ignores it for what it starts beside itself
    with silent_agent(tmp_path) as silent, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        silent.settimeout(PATIENCE_S)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == EXIT_INTERRUPTED
        assert process.stderr is not None
        assert process.stderr.read() == ""
    signal.signal(signal.SIGINT, before)


def test_a_failure_is_the_agents_sentence_and_one(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answer = lambda: protocol.failed_line("no pod x on node n")
    assert main(("explain", "x")) == EXIT_FAILED
    assert capsys.readouterr() == ("", "oomward: no pod x on node n\n")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", thin.STATE_DIR),
        ("logLevel: info\n# stateDir: /no\n", thin.STATE_DIR),
        ("logLevel: info\nstateDir: /data/oomward  # on the disk\n", "/data/oomward"),
        ("stateDir: '/data'\n", "/data"),
        ("resyncInterval: never\nrules:\n- mode: sinlge\nstateDir: /data\n", "/data"),
        ("{stateDir: /data}\n", None),
        ("stateDir: >\n  /data\n", None),
    ],
)
def test_the_state_folder_is_the_configurations_or_else_the_whole_of_it_is_read(
    text: str, wanted: str | None, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text)
    environ = {"OOMWARD_CONFIG": str(config)}
    if wanted is None:
        with pytest.raises(thin._NotThinError):
            thin._state_dir(environ)
    else:
        assert thin._state_dir(environ) == wanted
    assert thin._state_dir({**environ, "OOMWARD_STATE_DIR": "/own"}) == "/own"


def test_the_default_state_folder_is_the_settings_and_a_missing_file_is_none_of_ours() -> None:
    (default,) = (one.default for one in SETTINGS if one.name == "state_dir")
    assert thin._state_dir({"OOMWARD_CONFIG": "/nonexistent"}) == thin.STATE_DIR == default


def test_a_command_offers_itself_to_the_oom_killer_before_the_agent(asked: Asked) -> None:
    read = "print(open('/proc/self/oom_score_adj').read())"
    assert in_a_process("ps", after=read).stdout.split()[-1] == "1000"


def test_the_agent_itself_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    offered: list[bool] = []
    monkeypatch.setattr(thin, "offer_itself", lambda: offered.append(True))
    monkeypatch.setattr(sys, "argv", ["oomward", "run", "--listen", "nowhere"])
    assert main() == EXIT_USAGE
    assert offered == []
    monkeypatch.setattr(sys, "argv", ["oomward", "check", "--listen", "nowhere"])
    assert main() == EXIT_USAGE
    assert offered == [True]


# ----------------------------------------------------------------------------------------------------------------- watch


class Turns:
    """Stands for waiting."""

    def __init__(self, *between: Callable[[], object]) -> None:
        self.between = list(between)

    def __call__(self, _seconds: float) -> None:
        if not self.between:
            raise KeyboardInterrupt
        self.between.pop(0)()


def test_watched_the_agent_is_asked_each_turn_and_while_it_restarts_its_last_answer_is_shown(
    asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave() -> None:
        asked.answer = lambda: b"\n"

    def return_() -> None:
        asked.answer = None

    turns = Turns(lambda: None, leave, return_)
    monkeypatch.setattr(watching, "wait_beside", lambda _: turns)
    assert main(("ps", "--watch", "--output", "json")) == EXIT_OK
    out, err = capsys.readouterr()
    assert [json.loads(line)["containers"] for line in out.splitlines()] == [ROWS] * 4
    assert err.count("\n") == 1
    assert "this is its last answer" in err
    assert len(asked) == 4


def test_a_wait_ends_when_the_reader_of_a_pipe_is_gone() -> None:
    read, write = os.pipe()
    with open(write, "w") as file:  # noqa: PTH123
        wait = wait_beside(file)
        wait(0.01)
        os.close(read)
        with pytest.raises(ReaderGoneError):
            wait(PATIENCE_S)


def test_a_wait_ends_when_the_terminal_is_hung_up() -> None:
    master, slave = os.openpty()
    with open(slave, "w") as file:  # noqa: PTH123
        wait = wait_beside(file)
        wait(0.01)
        os.close(master)
        with pytest.raises(ReaderGoneError):
            wait(PATIENCE_S)


def test_a_wait_ends_when_the_parent_has_ended(tmp_path: Path) -> None:
    parents = [7, 7, 1]
    with (tmp_path / "out").open("w") as file:
        wait = wait_beside(file, lambda: parents.pop(0))
        wait(0.001)
        with pytest.raises(ReaderGoneError, match="the process that started this one has ended"):
            wait(0.001)


def test_output_that_nobody_takes_ends_the_command(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime keeps the pipe of a lost `kubectl exec` open, and reads nothing from it."""
    monkeypatch.setattr(watching, "STALLED_S", 0.2)
    many = Shown({"containers": ["x" * 1000] * 1000}, None, [])
    read, write = os.pipe()
    with open(write, "w") as file:  # noqa: PTH123
        with pytest.raises(ReaderGoneError, match="takes nothing"):
            watching.watch(lambda: many, Output.JSON, file, 0.0, lambda _: None)
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)  # for what is left in the buffer
    os.close(read)


def test_after_that_nothing_is_written_any_more_that_could_wait_for_ever(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "STALLED_S", 0.2)
    many = Shown({"containers": ["x" * 1000] * 1000}, None, [])
    asked.answer = lambda: protocol.answer_line(many, document=True)
    read, write = os.pipe()
    with capsys.disabled(), open(write, "w") as file:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", file)
        assert main(("ps", "--watch", "--output", "json")) == EXIT_OK
    os.close(read)


def test_a_wait_ends_when_standard_input_is_closed_by_who_could_write_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    with open(read) as client, (tmp_path / "out").open("w") as file:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", client)
        wait = wait_beside(file)
        wait(0.01)
        os.close(write)
        with pytest.raises(ReaderGoneError):
            wait(PATIENCE_S)
        wait_beside(file)(0.01)  # that nobody could write to it from the beginning says nothing about the client


def test_the_process_ends_with_the_writer_of_its_input(asked: Asked, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent", "ps", "--watch", "0.5s"]
    with (
        (tmp_path / "out").open("w") as out,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stderr is not None
        wait_until(lambda: len(asked) > 1, "it watches")
        process.stdin.close()
        assert process.wait(PATIENCE_S) == EXIT_OK
        assert process.stderr.read() == ""


def test_the_process_ends_when_its_terminal_is_hung_up(asked: Asked) -> None:
    master, slave = os.openpty()
    command = [sys.executable, "-m", "agent", "ps", "--watch", "0.5s"]
    environ = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(
        command, stdout=slave, stdin=slave, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        os.close(slave)
        assert os.read(master, 1000)
        os.close(master)
        assert process.wait(PATIENCE_S) == EXIT_OK
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_the_process_ends_with_its_reader(asked: Asked) -> None:
    command = [sys.executable, "-m", "agent", "ps", "--watch", "0.5s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_S) == EXIT_OK
        assert process.stderr.read() == ""
