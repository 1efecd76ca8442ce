"""ps: each running container with its modes, memory and kills; with the API and without, beside an agent or not; over and over."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

from agent.cgroup.files import CgroupFiles
from agent.commands import EXIT_OK
from agent.commands.output.table import Output
from agent.commands.ps import ps
from agent.model import VANISHED, Cgroup, Vanished
from tests.unit.cgroup.fakes import make
from tests.unit.commands.world import (
    CONTAINER,
    ID,
    ID2,
    MIB,
    MODE,
    OTHER,
    POD,
    UID,
    UID2,
    LookedAtNode,
    Terminal,
    a_kill,
    pod_json,
)

HEADER = ["POD", "CONTAINER", "DESIRED", "ACTUAL", "LIMIT", "USAGE", "PEAK", "KILLS"]


def shown(node: LookedAtNode) -> list[list[str]]:
    """Words of each line."""
    file = StringIO()
    assert ps(node.settings, Output.TABLE, file, watch_s=None) == EXIT_OK
    return [line.split() for line in file.getvalue().replace(" MiB", "MiB").splitlines()]


def rows(node: LookedAtNode) -> list[dict[str, Any]]:
    file = StringIO()
    assert ps(node.settings, Output.JSON, file, watch_s=None) == EXIT_OK
    found: list[dict[str, Any]] = json.loads(file.getvalue())["containers"]
    return found


class Turns:
    """Stands for waiting: lets no time pass, and is Ctrl-C after some turns."""

    def __init__(self, number: int, between: Callable[[], None] = lambda: None) -> None:
        self.left, self.between = number, between
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        self.between()


def test_a_container_has_the_mode_that_it_asks_for_the_one_in_force_its_memory_and_its_kills(
    node: LookedAtNode,
) -> None:
    node.server.put_pod(pod_json(labels={MODE: "single"}))
    node.remember(a_kill(1), a_kill(2, processes=3))
    node.write(f"{CONTAINER}/memory.peak", f"{250 * MIB}\n")
    assert shown(node) == [
        HEADER, ["default/herder-1", "herder", "single", "group", "256MiB", "200MiB", "250MiB", "4"],
    ]  # fmt: skip


def test_what_is_tolerated_is_shown_beside_the_kills(node: LookedAtNode) -> None:
    node.remember_tolerant(2)
    assert shown(node)[1][-4:] == ["2", "(2/5", "in", "10m)"]
    (row,) = rows(node)
    assert row["tolerance"] == {
        "processes_allowed": 5, "window_s": 600.0, "killed_in_window": 2, "exceeded": False, "on_exceeded": "arm", "any_scope": False,
        "said_by": "annotation oomward.dev/tolerate",
    }  # fmt: skip
    assert row["mode_desired"] == "single"


def test_an_armed_container_is_wanted_as_a_group_and_says_why(node: LookedAtNode) -> None:
    node.remember_tolerant(6)
    assert shown(node)[1][-2:] == ["6", "(armed)"]
    (row,) = rows(node)
    assert (row["mode_desired"], row["tolerance"]["exceeded"]) == ("group", True)


def test_the_pause_sandbox_is_not_shown_and_pods_go_by_name(node: LookedAtNode) -> None:
    node.server.put_pod(pod_json("apple", UID2, {"main": ID2}))
    node.container(OTHER)
    assert [row[0] for row in shown(node)] == ["POD", "default/apple", "default/herder-1"]


def test_programs_get_bytes_ids_and_the_path(node: LookedAtNode) -> None:
    node.remember(a_kill(1))
    assert rows(node) == [{
        "namespace": "default", "pod": "herder-1", "container": "herder", "mode_desired": None, "mode_actual": "group",
        "limit_bytes": 256 * MIB, "usage_bytes": 200 * MIB, "peak_bytes": None, "processes_killed": 1,
        "tolerance": None, "pod_uid": UID, "container_id": ID, "cgroup_path": CONTAINER, "oom_policy": None, "unread": [],
    }]  # fmt: skip


def test_cruns_containers_have_the_mode_of_the_cgroup_below(node: LookedAtNode) -> None:
    """The knob and the processes are in <container>/container; the container's own stays 0."""
    node.write(f"{CONTAINER}/memory.oom.group", "0\n")
    assert rows(node)[0]["mode_actual"] == "single"
    node.container(f"{CONTAINER}/container", knob=1)
    assert [row["mode_actual"] for row in rows(node)] == ["group"]


def test_on_cgroup_v1_each_kill_is_a_single_one(node: LookedAtNode) -> None:
    node.server.put_pod(pod_json(labels={MODE: "group"}))
    node.to_v1()
    (row,) = rows(node)
    assert (row["mode_desired"], row["mode_actual"], row["limit_bytes"]) == ("group", "single", 256 * MIB)


def test_without_the_api_a_container_is_shown_by_pod_uid_and_short_id(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.server.close()
    _, sandbox, herder = shown(node)
    assert [sandbox[:2], herder[:4]] == [[UID, "5" * 12], [UID, "a" * 12, "-", "group"]]
    (row,) = (row for row in rows(node) if row["container_id"] == ID)
    assert (row["namespace"], row["pod"], row["container"], row["pod_uid"]) == (None, None, None, UID)
    assert "oomward: the API is not reachable, so pods are as the agent knew them last" in capsys.readouterr().err


def test_without_the_api_what_an_agent_has_decided_keeps_its_name(node: LookedAtNode) -> None:
    node.remember(a_kill(1), decided=(node.decided(),))
    node.server.close()
    assert ["default/herder-1", "herder", "single", "group", "256MiB", "200MiB", "?", "1"] in shown(node)


def test_a_pod_that_the_api_does_not_have_is_shown_all_the_same(node: LookedAtNode) -> None:
    node.server.delete_pod("default", "herder-1")
    assert [UID, "a" * 12] in [row[:2] for row in shown(node)]


def test_without_a_ledger_kills_are_the_kernels_count_of_processes_and_that_is_said(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    """A group kill counts its first victim twice."""
    node.write(f"{CONTAINER}/memory.events", "oom 1\noom_kill 4\noom_group_kill 1\n")
    assert rows(node)[0]["processes_killed"] == 3
    assert "kills are counted by the kernel since each container's start: no ledger to read" in capsys.readouterr().err


def test_what_can_not_be_read_is_a_question_mark_and_is_said_once_on_standard_error(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.remember()
    for name in ("memory.oom.group", "memory.max", "memory.current"):
        node.unreadable(f"{CONTAINER}/{name}")
    assert shown(node)[1] == ["default/herder-1", "herder", "-", "?", "?", "?", "?", "0"]
    assert rows(node)[0]["unread"] == ["limit_bytes", "mode_actual", "usage_bytes"]
    told = capsys.readouterr().err.splitlines()[:3]
    assert [line.split(" of cgroup")[0] for line in told] == [
        "oomward: memory.oom.group", "oomward: memory.max", "oomward: memory.current"
    ]  # fmt: skip


def test_a_container_that_vanishes_meanwhile_is_left_out_without_a_word(
    node: LookedAtNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(files: CgroupFiles, cgroup: Cgroup) -> Vanished:
        return VANISHED

    node.remember()
    monkeypatch.setattr(CgroupFiles, "usage_bytes", gone)
    assert rows(node) == []
    assert capsys.readouterr().err == ""


def test_no_container_is_said(node: LookedAtNode) -> None:
    node.server.put_pod(pod_json(ids={}))
    assert shown(node) == [["No", "containers", "of", "pods."]]


def test_names_can_do_the_terminal_no_harm(node: LookedAtNode) -> None:
    node.server.delete_pod("default", "herder-1")
    node.server.put_pod(pod_json("herder\x1b[31m"))
    assert shown(node)[1][0] == "default/herder\\x1b[31m"


# ----------------------------------------------------------------------------------------------------------------- watch


def test_watched_without_a_terminal_it_is_table_after_table_until_ctrl_c(node: LookedAtNode) -> None:
    turns, file = Turns(3, lambda: node.write(f"{CONTAINER}/memory.oom.group", "0\n")), StringIO()
    assert ps(node.settings, Output.TABLE, file, watch_s=2.5, wait=turns) == EXIT_OK
    text = file.getvalue()
    assert turns.waited == [2.5, 2.5, 2.5]
    assert re.findall(r"herder +- +(\w+)", text) == ["group", "single", "single"]
    assert len(re.findall(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", text, re.MULTILINE)) == 3
    assert "\x1b" not in text


def test_watched_by_a_program_each_turn_is_a_document_on_a_line(node: LookedAtNode) -> None:
    file = StringIO()
    ps(node.settings, Output.JSON, file, watch_s=1, wait=Turns(2))
    turns = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [[row["container"] for row in turn["containers"]] for turn in turns] == [["herder"], ["herder"]]
    assert all(turn["looked_at_unix_s"] > 1e9 for turn in turns)


def test_watched_a_trouble_is_said_when_it_comes_and_not_each_turn(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.remember()
    node.unreadable(f"{CONTAINER}/memory.max")
    ps(node.settings, Output.TABLE, StringIO(), watch_s=1, wait=Turns(4))
    assert capsys.readouterr().err.count("memory.max of cgroup") == 1


def test_on_a_terminal_it_is_drawn_in_place_and_the_terminal_is_given_back(
    node: LookedAtNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    node.server.close()
    file = Terminal()
    ps(node.settings, Output.TABLE, file, watch_s=1, wait=Turns(2))
    text = file.getvalue()
    assert text.startswith("\x1b[?1049h"), "the alternate screen, so that what was there comes back"
    assert "\x1b[?1049l" in text.split("herder")[-1]
    assert text.count("\x1b[H") >= 2
    assert "the API is not reachable" in re.sub(r"\s+", " ", re.sub("\x1b[^m]*m", "", text)), (
        "troubles are below the table"
    )
    assert capsys.readouterr().err == ""


def test_on_a_low_terminal_the_number_of_those_left_out_is_said(
    node: LookedAtNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "6")
    ids = {f"c{number}": f"{number}" * 64 for number in range(6)}
    node.remember()
    node.server.put_pod(pod_json(ids=ids))
    for container_id in ids.values():
        make(node.mount, f"{POD}/{container_id}")
    file = Terminal()
    ps(node.settings, Output.TABLE, file, watch_s=1, wait=Turns(1))
    assert "… and 4 more lines" in file.getvalue()
    assert "c2" not in file.getvalue()
