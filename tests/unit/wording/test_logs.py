"""One line a record, whatever is in it."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wording import logs
from agent.wording.kill_record import kill_fields
from agent.wording.kills import kill_line
from tests.unit.wording.kills import CASES

ANYTHING = st.text() | st.integers() | st.none() | st.booleans() | st.binary() | st.lists(st.text(), max_size=3)


@pytest.fixture
def logger() -> logging.Logger:
    return logging.getLogger("oomward")


def test_a_json_line_has_time_level_message_and_fields(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.setup("json", "info")
    logs.log(logger, logging.WARNING, "killed\nworker", victim_comm="\x1b[2J\u202e\ud800", processes=3)
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert (found["level"], found["message"], found["processes"]) == ("warning", "killed\nworker", 3)
    assert found["time"].endswith("Z")
    assert line.isascii()


def test_a_text_line_is_one_line_and_can_do_a_terminal_no_harm(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.setup("text", "info")
    logger.info("killed\nworker \x1b[2J %s", "\u202e")
    (line,) = capsys.readouterr().err.splitlines()
    assert "\x1b" not in line
    assert "killed\\x0aworker" in line


def test_what_is_below_the_level_is_not_said(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("json", "warning")
    logger.info("nothing")
    assert capsys.readouterr().err == ""


def test_an_exception_is_within_its_one_json_line(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("json", "info")
    try:
        raise ValueError("odd")
    except ValueError:
        logger.exception("it failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: odd" in json.loads(line)["exception"]


def record(message: str, fields: dict[str, object]) -> logging.LogRecord:
    made = logging.LogRecord("oomward", logging.INFO, __file__, 1, "%s", (message,), None)
    made.fields = fields
    return made


@given(st.text(), st.dictionaries(st.text(), ANYTHING, max_size=5))
def test_whatever_is_said_a_json_line_is_one_printable_line_that_can_be_read_back(
    message: str, fields: dict[str, object]
) -> None:
    line = logs.JsonFormatter().format(record(message, fields))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == message


@given(st.text())
def test_whatever_is_said_a_text_line_is_one_printable_line(message: str) -> None:
    line = logs.TextFormatter().format(record(message, {}))
    assert len(line.splitlines()) == 1
    assert all(char.isprintable() or char.isspace() for char in line)


def test_no_field_takes_the_place_of_time_level_or_message() -> None:
    found = json.loads(logs.JsonFormatter().format(record("said", {"level": "panic", "message": "x", "time": 0})))
    assert (found["level"], found["message"]) == ("info", "said")
    assert found["time"].endswith("Z")


@pytest.mark.parametrize("name", CASES)
def test_every_kill_has_its_fields_in_one_json_line(name: str) -> None:
    kill = CASES[name]
    found = json.loads(logs.JsonFormatter().format(record(kill_line(kill), kill_fields(kill))))
    assert found["kill_id"] == kill.kill_id
    assert [victim["comm"] for victim in found["victims"]] == [victim.comm for victim in kill.victims]


def test_a_traceback_in_text_can_do_a_terminal_no_harm(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.setup("text", "info")
    try:
        raise ValueError("odd \x1b[2J")
    except ValueError:
        logger.exception("it failed")
    found = capsys.readouterr().err
    assert "\x1b" not in found
    assert "ValueError: odd \\x1b[2J" in found


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_text_and_everything_else_json(
    terminal: bool, logger: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    logs.setup(None, "info")
    logger.info("hello")
    assert capsys.readouterr().err.startswith("{") is not terminal


@pytest.mark.parametrize("log_format", [None, "json", "text"])
def test_where_standard_error_is_closed_a_line_is_lost_and_nothing_else(
    log_format: str | None, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in ``oomward run 2>&-``."""
    monkeypatch.setattr("sys.stderr", None)
    logs.setup(log_format, "info")
    logger.info("an OOM kill")


def test_other_libraries_warnings_come_as_lines_of_the_same_form_and_their_chatter_does_not(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.setup("json", "debug")
    other = logging.getLogger("urllib3.connectionpool")
    other.debug("GET /api")
    other.info("connected")
    other.warning("Retrying\nafter %s", "\x1b[2J")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "Retrying\nafter \x1b[2J"


def test_set_up_again_each_line_is_still_said_once(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("json", "info")
    logs.setup("text", "info")
    logger.info("ours")
    logging.getLogger("other").warning("theirs")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[-1] for line in lines] == ["ours", "theirs"]


class Clock:
    """Moves only when set."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_same_is_said_once_in_its_interval_and_then_with_how_often_it_was_left_out() -> None:
    clock = Clock()
    once = logs.Once(60.0, clock)
    assert [once.due("disk full") for _ in range(4)] == [0, None, None, None]
    clock.now_s += 59.9
    assert once.due("disk full") is None
    clock.now_s += 0.1
    assert once.due("disk full") == 4
    assert once.due("disk full") is None


def test_a_line_names_how_many_were_left_out_if_any_were() -> None:
    assert logs.left_out_text(0) == ""
    assert logs.left_out_text(4) == " (4 more since the last such line)"


def test_one_key_does_not_silence_another() -> None:
    once = logs.Once(60.0, Clock())
    assert [once.due(key) for key in ("a", "b", "a", "b")] == [0, 0, None, None]


def test_a_process_that_just_started_is_not_silenced_by_a_young_clock() -> None:
    clock = Clock()
    clock.now_s = 0.0
    assert logs.Once(60.0, clock).due("a") == 0


def test_keys_without_end_are_forgotten_the_oldest_first() -> None:
    clock = Clock()
    once = logs.Once(60.0, clock)
    for i in range(logs.MOST_KEYS):
        clock.now_s += 0.001
        once.due(f"key {i}")
    assert once.due("one more") == 0
    assert once.due(f"key {logs.MOST_KEYS - 1}") is None
    assert once.due("key 0") == 0, "it was forgotten for the one more"
    assert len(once._last) == logs.MOST_KEYS
