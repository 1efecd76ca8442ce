"""Answers of agents: the fields that tables read are those that agents write; whatever else arrives costs no other node anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fleet import FleetError, answers, merging, tables
from agent.fleet.executing import Finished
from agent.look import containers, kills
from agent.look.looking import Tolerated
from agent.model import Mode, Tolerance
from agent.wording.text import safe
from tests.lab import fleet
from tests.unit.profiles import examples

POD = ("shop", "web-1")
TOLERATED = Tolerated(Tolerance(5, 600.0), 2, armed=False)
FULL_ROW = replace(
    fleet.row("node-1", *POD), tolerated=TOLERATED, mode_actual=Mode.GROUP, unread=("peak_bytes",), peak_bytes=None
)
WRITTEN: dict[str, tuple[tables.Columns, dict[str, Any]]] = {
    "ps": (tables.PS, containers.CONTAINERS.to_json(FULL_ROW)),
    "top": (tables.TOP, containers.CONTAINERS.to_json(FULL_ROW)),
    "history": (tables.HISTORY, kills.KILLS.to_json(fleet.kill(POD, 1))),
    "diagnose": (tables.DIAGNOSE, asdict(fleet.diagnosis(*POD))),
    "advise": (tables.ADVISE, asdict(fleet.advice(*POD)) | {"nodes": ["node-1", "node-2"]}),
    "check": (tables.CHECKS, fleet.failed("kernel")),
}
# Optional fields of a row that has none of them, and what only unnamed rows have.
OPTIONAL = {"node", "oom_policy", "pod_uid", "cgroup_path", "container_id", *(one.name for one in fields(FULL_ROW))}


class Watched(dict[str, Any]):
    """Notes the fields that are read."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__(row)
        self.read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)


@pytest.mark.parametrize("command", WRITTEN)
def test_every_field_that_a_table_reads_is_one_that_an_agent_writes(command: str) -> None:
    columns, written = WRITTEN[command]
    row = Watched(json.loads(json.dumps(written)))
    for column in columns:
        column.cell(row)
    assert row.read - OPTIONAL <= written.keys()


@pytest.mark.parametrize("command", WRITTEN)
def test_the_rows_key_is_the_agents(command: str) -> None:
    of_agents = {
        "ps": containers.CONTAINERS.name,
        "top": containers.CONTAINERS.name,
        "history": kills.KILLS.name,
        "diagnose": "diagnoses",
        "advise": "advice",
        "check": "checks",
    }
    assert answers.ROWS[command] == of_agents[command]


def cells(columns: tables.Columns, row: dict[str, Any]) -> dict[str, str]:
    return {column.header: "".join(text for text, _ in column.cell(row)) for column in columns}


def test_a_container_is_shown_as_its_own_agent_shows_it() -> None:
    ours = cells(tables.PS, json.loads(json.dumps(containers.CONTAINERS.to_json(FULL_ROW))))
    theirs = {one.header: "".join(text for text, _ in one.cell(FULL_ROW)) for one in containers.COLUMNS}
    assert ours.items() >= theirs.items()


def test_a_kill_is_shown_as_its_own_agent_shows_it() -> None:
    one = fleet.kill(POD, 1)
    ours = cells(tables.HISTORY, json.loads(json.dumps(kills.KILLS.to_json(one))))
    theirs = {column.header: "".join(text for text, _ in column.cell(one)) for column in kills.KILL_COLUMNS}
    assert ours.items() >= theirs.items()


def harmless(text: str) -> bool:
    return safe(text, 10 * len(text) + 1) == text


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**320), 10**320)
    | st.integers(0, 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = sorted({key for _, row in WRITTEN.values() for key in row} | {"node", "nodes", "unread", "pod_uid"})
ROWS = st.lists(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8), max_size=4)


@given(ROWS, st.sampled_from(sorted(WRITTEN)), st.sampled_from(["usage", "pod", "kills", "node"]))
@examples(120)
def test_any_fields_of_any_types_become_a_table(rows: list[dict[str, Any]], command: str, field: str) -> None:
    finished = Finished(json.dumps({answers.ROWS[command]: rows}).encode(), b"", 0)
    found = answers.read("node-1", command, finished).rows(command)
    assert [row["node"] for row in found] == ["node-1"] * len(rows)
    ordered = {"top": merging.by_use, "advise": merging.advice}.get(command, merging.by_name)(found)
    if command != "advise":
        assert sorted(map(repr, ordered)) == sorted(map(repr, found))
    with suppress(FleetError):
        ordered = merging.sorted_by(ordered, field)
    merging.by_time(found, newest_first=True)
    merging.checked("node-1", found)
    for row in ordered:
        assert harmless("".join(cells(WRITTEN[command][0], row).values()))


@given(
    st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | JSON.map(lambda one: json.dumps(one).encode()),
    st.binary(max_size=40),
    st.integers(0, 3),
)
@examples(200)
def test_whatever_a_node_writes_is_an_answer_or_a_sentence(stdout: bytes, stderr: bytes, code: int) -> None:
    finished = Finished(stdout, stderr, code)
    for of_json in (True, False):
        try:
            answer = answers.read("n", "ps", finished) if of_json else answers.read_text("n", finished)
        except FleetError as error:
            assert harmless(str(error))
            assert str(error)
        else:
            assert all(harmless(trouble) for trouble in answer.troubles)
            assert all(harmless(line) for line in answer.text.split("\n"))


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"oomward": 2, "containers": []}, "version 2"),
        ({"oomward": "\x1b", "containers": []}, r"version \\x1b"),
        ({"pods": []}, "has no containers"),
        ({"containers": [1]}, "has no containers"),
        ({"containers": {}}, "has no containers"),
        ([], "not JSON"),
    ],
)
def test_a_document_of_another_version_is_said_to_be_one(document: object, why: str) -> None:
    with pytest.raises(FleetError, match=why):
        answers.read("n", "ps", Finished(json.dumps(document).encode(), b"", 0))


def test_a_document_with_a_version_and_a_node_of_its_own_is_read() -> None:
    document = {"oomward": 1, "node": "itself", "containers": [{"node": "itself", "pod": "web"}]}
    answer = answers.read("node-1", "ps", Finished(json.dumps(document).encode(), b"", 0))
    assert answer.rows("ps") == [{"node": "node-1", "pod": "web"}]


def test_a_deeply_nested_document_is_refused() -> None:
    with pytest.raises(FleetError, match="not JSON"):
        answers.read("n", "ps", Finished(b"[" * 100_000, b"", 0))


def test_only_the_last_lines_of_a_noisy_command_are_kept() -> None:
    stderr = b"".join(b"line %d\n" % number for number in range(1000))
    answer = answers.read("n", "ps", Finished(b'{"containers": []}', stderr, 0))
    assert answer.troubles[-1] == "line 999"
    assert len(answer.troubles) == answers.MOST_TROUBLES


def workloads() -> Iterator[dict[str, Any]]:
    base = asdict(fleet.advice("shop", "web-1"))
    for node, kills_there, limit in (("node-1", 1, None), ("node-2", 5, 320), ("node-3", 2, 512)):
        text = None if limit is None else f"{limit}Mi"
        yield base | {"node": node, "kills": kills_there, "next_limit_bytes": limit, "next_limit": text, "reason": node}


def test_a_workload_of_several_nodes_takes_the_highest_next_limit_and_its_reason() -> None:
    for rows in (list(workloads()), list(workloads())[::-1]):
        (row,) = merging.advice(rows)
        assert (row["kills"], row["next_limit"], row["reason"]) == (8, "512Mi", "node-3")
        assert row["nodes"] == ["node-1", "node-2", "node-3"]
        assert "node" not in row


def test_what_several_nodes_do_not_know_stays_unknown() -> None:
    rows = [row | {"peak_bytes": None, "last_kill": None} for row in workloads()]
    (row,) = merging.advice(rows)
    assert row["peak_bytes"] is None
    assert row["last_kill"] is None
