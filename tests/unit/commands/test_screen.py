"""Tables fit the screen they are on, lose nothing in a pipe, say what is not known, and have a JSON twin with all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO, StringIO, TextIOWrapper
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from agent.commands.output.table import Output, show_rows, text_of, without_wide
from agent.commands.output.terminal import lines_of
from agent.look import kills as history
from agent.look.containers import CONTAINERS, ContainerRow
from agent.model import Mode, OomKill
from tests.unit.wording.kills import CASES, FILLED, GROUP, HOST, KILL, LOST, MIB, SERVICE
from tests.unit.wording.test_kills import KILLS, harmless

if TYPE_CHECKING:
    from agent.wording.view import View

HELD = ContainerRow(
    "default", "herder-1", "herder", Mode.SINGLE, Mode.SINGLE, 256 * MIB, 200 * MIB, 256 * MIB + MIB // 2, 7
)
DRIFTED = replace(HELD, mode_actual=Mode.GROUP)
BARE = ContainerRow("kube-system", "coredns-1", "coredns")


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def printed(show: Callable[[StringIO], None]) -> str:
    file = StringIO()
    show(file)
    return file.getvalue()


def kills_text(*kills: OomKill) -> list[list[str]]:
    """Words of each line, split where two blanks are."""
    text = printed(lambda file: show_rows(history.KILLS, kills, Output.TABLE, file))
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def containers_text(*rows: ContainerRow) -> list[list[str]]:
    text = printed(lambda file: show_rows(CONTAINERS, rows, Output.TABLE, file))
    return [line.split() for line in text.splitlines()]


def on_terminal(view: View, width: int, **more: Any) -> str:
    file = StringIO()
    console = Console(file=file, width=width, force_terminal=True, markup=False, emoji=False, highlight=False, **more)
    for line in lines_of(without_wide(view), console):
        console.print(line, soft_wrap=True)
    return file.getvalue()


def test_a_kill_is_one_line_with_who_where_how_large_whose_limit_and_what_became_of_it() -> None:
    header, row = kills_text(KILL)
    assert header == [
        "TIME", "POD", "CONTAINER", "PROCESS", "RESIDENT", "SCOPE", "LIMIT", "FILLED BY", "MODE", "OUTCOME",
        "COMMAND",
    ]  # fmt: skip
    assert row == [
        "2025-10-09T08:53:20Z", "default/herder-1", "herder", "4312 worker", "180.2 MiB", "container", "256 MiB", "processes",
        "single", "survived", "-",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kill", "cells"),
    [
        (GROUP, ["4312 worker and 2 more", "group", "died"]),
        (LOST, ["1 unnamed", "?", "survived"]),
        (replace(KILL, outcome=None), ["single", "?"]),
        (HOST, ["system.slice/backup.service", "-", "node"]),
        (SERVICE, ["cgroup", "1 GiB"]),
        (replace(KILL, namespace=None, pod=None, container=None), ["kubepods/podu/c", "-"]),
    ],
)
def test_what_is_not_known_or_does_not_apply_is_said_to_be_so(kill: OomKill, cells: list[str]) -> None:
    _, row = kills_text(kill)
    assert set(cells) <= set(row)


def test_a_container_has_its_modes_its_memory_and_its_kills() -> None:
    assert containers_text(HELD, BARE) == [
        ["POD", "CONTAINER", "DESIRED", "ACTUAL", "LIMIT", "USAGE", "PEAK", "KILLS"],
        ["default/herder-1", "herder", "single", "single", "256", "MiB", "200", "MiB", "256.5", "MiB", "7"],
        ["kube-system/coredns-1", "coredns", "-", "-", "none", "?", "?", "?"],
    ]


def test_nothing_to_show_is_said() -> None:
    assert kills_text() == [["No OOM kills."]]
    assert printed(lambda file: show_rows(CONTAINERS, (), Output.TABLE, file)) == "No containers of pods.\n"


def test_in_a_pipe_every_value_is_whole_and_on_its_own_line() -> None:
    long = replace(KILL, pod="p" * 253, container="c" * 63)
    text = printed(lambda file: show_rows(history.KILLS, [long], Output.TABLE, file))
    assert len(text.splitlines()) == 2
    assert f"default/{'p' * 253}" in text
    assert "c" * 63 in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("width", "gone"),
    [
        (150, set()),
        (120, {"COMMAND"}),
        (110, {"COMMAND", "MODE"}),
        (100, {"COMMAND", "MODE", "LIMIT"}),
        (70, {"COMMAND", "MODE", "LIMIT", "RESIDENT", "SCOPE", "CONTAINER"}),
    ],
)
def test_a_narrow_terminal_loses_first_what_matters_least(width: int, gone: set[str]) -> None:
    kills = [replace(KILL, pod="herder-12345")]
    text = on_terminal(history.KILLS.view(tuple(kills)), width)
    columns = {"TIME", "POD", "CONTAINER", "PROCESS", "RESIDENT", "SCOPE", "LIMIT", "MODE", "OUTCOME", "COMMAND"}
    header = text.splitlines()[0]
    assert {name for name in columns if name not in _words(header)} == gone


def test_what_filled_the_limit_is_shown_where_there_is_room_and_left_out_first() -> None:
    view = history.KILLS.view((FILLED["full of page cache that is not written back"],))
    assert "page cache" in on_terminal(view, 160)
    narrow = on_terminal(view, 80)
    assert "FILLED" not in narrow
    assert len(narrow.splitlines()) == 2, "no cell is folded"


def _words(line: str) -> set[str]:
    plain = line.replace("\x1b[1m", "").replace("\x1b[0m", "")
    return set(plain.split())


@given(st.integers(30, 200), st.lists(KILLS, min_size=1, max_size=3))
def test_no_line_is_wider_than_the_terminal_but_of_a_single_name_and_none_can_do_it_harm(
    width: int, kills: list[OomKill]
) -> None:
    """And no name is broken."""
    view = without_wide(history.KILLS.view(tuple(kills)))
    text = on_terminal(view, width, color_system=None)
    assert all(harmless(line) for line in text.split("\n"))
    console = Console(width=width)
    names = {text_of(row[at]).strip() for row in view["rows"] for at in (0, 1)}
    assert all(name in text for name in names)
    for line in text.split("\n"):
        assert cell_len(line) <= width or line.strip() in {
            text_of(cell).strip() for row in view["rows"] for cell in row
        }
    assert console.width == width


def test_a_mode_that_is_not_in_force_stands_out_and_one_that_is_does_not() -> None:
    assert "\x1b[1;31mgroup" in on_terminal(CONTAINERS.view((DRIFTED,)), 120)
    assert "31m" not in on_terminal(CONTAINERS.view((HELD,)), 120)


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[32msurvived" in on_terminal(history.KILLS.view((KILL,)), 120)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in on_terminal(history.KILLS.view((KILL,)), 120)


def test_names_that_look_like_markup_or_emoji_are_shown_as_they_are() -> None:
    odd = replace(HELD, pod="[red]x[/red]", container=":bomb:")
    assert containers_text(odd)[1][:2] == ["default/[red]x[/red]", ":bomb:"]


def test_output_that_is_not_utf_8_gets_what_it_can_show() -> None:
    raw = BytesIO()
    file = TextIOWrapper(raw, encoding="ascii")
    show_rows(CONTAINERS, [replace(HELD, container="caf\u00e9")], Output.TABLE, file)
    file.flush()
    assert b"caf\\xe9" in raw.getvalue()


@pytest.mark.parametrize("name", CASES)
def test_the_json_twin_of_a_kill_has_every_field_of_the_log_line_and_the_time(name: str) -> None:
    text = printed(lambda file: show_rows(history.KILLS, [CASES[name]], Output.JSON, file))
    (found,) = json.loads(text)["kills"]
    assert {field for field in OomKill.__slots__ if field not in found} == {
        "boot_id", "cgroup_inode", "ordinal", "processes", "use", "containers", "at_monotonic_s",
    }  # fmt: skip
    assert "kill_id" in found, "which is made of the first three"
    assert found["at_unix_s"] == CASES[name].at_unix_s
    assert text.isascii()
    assert "\x1b" not in text


def test_the_json_twin_of_a_container_has_bytes_and_nulls() -> None:
    text = printed(lambda file: show_rows(CONTAINERS, [DRIFTED, BARE], Output.JSON, file))
    held, bare = json.loads(text)["containers"]
    assert held == {
        "namespace": "default", "pod": "herder-1", "container": "herder", "mode_desired": "single", "mode_actual": "group",
        "limit_bytes": 256 * MIB, "usage_bytes": 200 * MIB, "peak_bytes": 256 * MIB + MIB // 2, "processes_killed": 7,
        "tolerance": None, "pod_uid": None, "container_id": None, "cgroup_path": None, "oom_policy": None, "unread": [],
    }  # fmt: skip
    assert [bare[name] for name in ("mode_desired", "mode_actual", "limit_bytes", "processes_killed")] == [None] * 4


def test_nothing_to_show_is_an_empty_list_in_json() -> None:
    assert json.loads(printed(lambda file: show_rows(history.KILLS, (), Output.JSON, file))) == {
        "oomward": 1,
        "kills": [],
    }
