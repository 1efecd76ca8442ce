"""The list of checks: a line each in a pipe, folded on a terminal, with the total below, and never a control character."""

from __future__ import annotations

import json
from io import StringIO

import pytest

from agent.commands.output.table import Output
from agent.commands.probes.checks import Check, Status, show_checks, total

GOOD = Check("kernel", Status.PASS, "Linux 6.12")
POOR = Check("pids", Status.WARN, "none to be seen", "Set hostPID.")
BAD = Check("API", Status.FAIL, "no answer.", "Mend the network.")


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def printed(*checks: Check, output: Output = Output.TABLE) -> str:
    file = StringIO()
    show_checks(checks, output, file)
    return file.getvalue()


def test_each_check_is_a_line_with_the_mend_behind_what_was_found() -> None:
    lines = [line.rstrip() for line in printed(GOOD, POOR, BAD).splitlines()]
    assert lines == [
        "STATUS  CHECK   FOUND",
        "pass    kernel  Linux 6.12.",
        "warn    pids    none to be seen. To do: Set hostPID.",
        "fail    API     no answer. To do: Mend the network.",
        "",
        "1 fail, 1 warn, 1 pass.",
    ]


def test_the_total_leaves_out_what_there_is_none_of() -> None:
    assert total([GOOD, GOOD]) == "2 pass."
    assert total([BAD, GOOD]) == "1 fail, 1 pass."


def test_no_checks_are_said_to_be_none() -> None:
    assert printed() == "Nothing was checked.\n"


def test_json_is_whole_and_in_the_order_given() -> None:
    assert json.loads(printed(POOR, GOOD, output=Output.JSON)) == {
        "oomward": 1,
        "checks": [
            {"name": "pids", "status": "warn", "found": "none to be seen", "advice": "Set hostPID."},
            {"name": "kernel", "status": "pass", "found": "Linux 6.12", "advice": ""},
        ],
    }


@pytest.mark.parametrize("output", [Output.TABLE, Output.JSON])
def test_nothing_that_was_found_reaches_the_terminal_as_a_control(output: Output) -> None:
    text = printed(Check("a\x1b[2Jb", Status.FAIL, "c\x1b]0;d\x07\n\u202ee", "f\r\udc80"), output=output)
    assert all(char.isprintable() or char == "\n" for char in text)
