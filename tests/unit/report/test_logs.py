"""One line a record, whatever is in it."""

from __future__ import annotations

import json
import logging

import pytest

from agent.report import logs


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
