"""Answers of agents: the fields that tables read are those that agents write; whatever else arrives costs no other node anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fleet import FleetError, answers, events, merging, tables
from agent.fleet.executing import Finished
from agent.look import containers, kills
from agent.look.looking import Tolerated
from agent.model import MemoryUse, Mode, SeenProcess, Tolerance
from agent.wording.text import safe
from tests.lab import fleet
from tests.unit.profiles import examples

POD = ("shop", "web-1")
TOLERATED = Tolerated.of(Tolerance(5, 600.0), 2, exceeded=False)
FULL_ROW = replace(
    fleet.row("node-1", *POD), tolerance=TOLERATED, mode_actual=Mode.GROUP, unread=("peak_bytes",), peak_bytes=None
)
WRITTEN: dict[str, tuple[tables.Columns, dict[str, Any]]] = {
    "ps": (tables.PS, containers.CONTAINERS.to_json(FULL_ROW)),
    "top": (tables.TOP, containers.CONTAINERS.to_json(FULL_ROW)),
    "history": (tables.HISTORY, kills.KILLS.to_json(fleet.kill(POD, 1))),
    "diagnose": (tables.DIAGNOSE, asdict(fleet.diagnosis(*POD))),
    "advise": (tables.ADVISE, asdict(fleet.advice(*POD)) | {"nodes": ["node-1", "node-2"]}),
    "check": (tables.CHECKS, fleet.failed("kernel")),
}
EVENT = events.rows([fleet.event_json("shop", "a")], None)[0]
OURS = {"node", "nodes"}  # added by the merge


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
    assert row.read - OURS <= written.keys()


def test_every_field_that_the_table_of_events_reads_is_in_its_rows() -> None:
    row = Watched(EVENT)
    for column in tables.EVENTS:
        column.cell(row)
    assert row.read <= EVENT.keys()


@pytest.mark.parametrize("command", WRITTEN)
def test_the_rows_key_is_the_agents(command: str) -> None:
    of_agents = {
        "ps": containers.CONTAINERS.name,
        "top": containers.CONTAINERS.name,
        "history": kills.KILLS.name,
        "diagnose": "diagnoses",
        "advise": "workloads",
        "check": "checks",
    }
    assert answers.ROWS[command] == of_agents[command]


def cells(columns: tables.Columns, row: dict[str, Any]) -> dict[str, str]:
    return {column.header: "".join(text for text, _ in column.cell(row)) for column in columns}


def test_a_container_is_shown_as_its_own_agent_shows_it() -> None:
    ours = cells(tables.PS, json.loads(json.dumps(containers.CONTAINERS.to_json(FULL_ROW))))
    theirs = {one.header: "".join(text for text, _ in one.cell(FULL_ROW)) for one in containers.COLUMNS}
    assert ours.items() >= theirs.items()


SEEN = (
    SeenProcess(4312, "python3", "python3 -m celery worker", ("celery", "tini"), ("celery", ""), 180 * fleet.MIB),
    SeenProcess(7, "sh\x1b[2J"),
)
MEMORY = MemoryUse(anon=200 * fleet.MIB, file=8 * fleet.MIB)


@pytest.mark.parametrize("seen", [(), SEEN, SEEN[1:], (replace(SEEN[0], pid=8, parent_commands=()),)])
@pytest.mark.parametrize("use", [None, MEMORY])
def test_a_kill_is_shown_as_its_own_agent_shows_it(use: MemoryUse | None, seen: tuple[SeenProcess, ...]) -> None:
    one = replace(fleet.kill(POD, 1), seen=seen, use=use)
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
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "\udfff\ud83d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = sorted({key for _, row in WRITTEN.values() for key in row} | {"node", "nodes", "unread", "pod_uid"})
ROWS = st.lists(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8), max_size=4)


@given(ROWS, st.sampled_from(sorted(WRITTEN)))
@examples(120)
def test_any_fields_of_any_types_become_a_table(rows: list[dict[str, Any]], command: str) -> None:
    finished = Finished(json.dumps({answers.ROWS[command]: rows}).encode(), b"", 0)
    found = answers.read("node-1", command, finished).rows(command)
    assert [row["node"] for row in found] == ["node-1"] * len(rows)
    ordered = {"top": merging.by_use, "advise": merging.advice}.get(command, merging.by_name)(found)
    if command != "advise":
        assert sorted(map(repr, ordered)) == sorted(map(repr, found))
    listing = tables.listing("rows", WRITTEN[command][0], "")
    for column in listing.columns:
        if column.sort is not None:
            ordered = listing.ordered(ordered, column.sort_key)
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


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a": ', "}")])
@pytest.mark.parametrize("depth", [answers.DEEPEST, 400, 100_000])
def test_a_deeply_nested_document_is_refused(opened: str, closed: str, depth: int) -> None:
    document = f'{{"containers": [{{"pod": {opened * depth}1{closed * depth}}}]}}'
    with pytest.raises(FleetError, match=r"not JSON|nested more than 50 levels"):
        answers.read("n", "ps", Finished(document.encode(), b"", 0))


def test_what_agents_nest_is_read() -> None:
    for _, written in WRITTEN.values():
        answers.read("n", "explain", Finished(json.dumps({"rows": [[[written]]]}).encode(), b"", 0))


@pytest.mark.parametrize("number", ["1e400", "-1e400", "Infinity", "NaN"])
def test_a_number_that_json_can_not_write_is_refused(number: str) -> None:
    document = f'{{"containers": [{{"usage_bytes": {number}}}]}}'
    with pytest.raises(FleetError, match="not JSON"):
        answers.read("n", "ps", Finished(document.encode(), b"", 0))


def test_no_share_of_a_limit_is_infinite() -> None:
    assert merging.used({"usage_bytes": 1e10, "limit_bytes": 5e-324}) is None
    assert merging.used({"usage_bytes": 1, "limit_bytes": 2}) == 0.5


def test_only_the_last_lines_of_a_noisy_command_are_kept() -> None:
    stderr = b"".join(b"line %d\n" % number for number in range(1000))
    answer = answers.read("n", "ps", Finished(b'{"containers": []}', stderr, 0))
    assert answer.troubles[-1] == "line 999"
    assert len(answer.troubles) == answers.MOST_TROUBLES


def workloads() -> Iterator[dict[str, Any]]:
    base = asdict(fleet.advice("shop", "web-1"))
    for node, kill_count, limit in (("node-1", 1, None), ("node-2", 5, 320), ("node-3", 2, 512)):
        text = None if limit is None else f"{limit}Mi"
        yield base | {
            "node": node,
            "kill_count": kill_count,
            "next_limit_bytes": limit,
            "next_limit_quantity": text,
            "why": node,
        }


def test_a_workload_of_several_nodes_takes_the_highest_next_limit_and_its_reason() -> None:
    for rows in (list(workloads()), list(workloads())[::-1]):
        (row,) = merging.advice(rows)
        assert (row["kill_count"], row["next_limit_quantity"], row["why"]) == (8, "512Mi", "node-3")
        assert row["nodes"] == ["node-1", "node-2", "node-3"]
        assert "node" not in row


def test_a_container_that_no_pod_of_any_node_has_gets_no_next_limit() -> None:
    """Node-1 has the kills of a container that the pods on node-2 do not have."""
    base = next(workloads()) | {"pod_count": 0, "next_limit_bytes": 320, "next_limit_quantity": "320Mi"}
    removed = base | {"container": "removed", "why": "1 OOM kill"}
    there = base | {"container": "app", "pod_count": 1, "node": "node-2"}
    alone, together = merging.advice([removed]), merging.advice([removed, base | {"container": None}, there])
    assert [(row["next_limit_quantity"], row["why"]) for row in alone] == [("320Mi", "1 OOM kill")]
    found = {row["container"]: (row["next_limit_bytes"], row["next_limit_quantity"], row["why"]) for row in together}
    said = "1 OOM kill; the pods on other nodes have no container of this name"
    assert found == {"removed": (None, None, said), "app": (320, "320Mi", "node-1"), None: (320, "320Mi", "node-1")}


def test_what_several_nodes_do_not_know_stays_unknown() -> None:
    rows = [row | {"peak_bytes": None, "last_kill_unix_s": None} for row in workloads()]
    (row,) = merging.advice(rows)
    assert row["peak_bytes"] is None
    assert row["last_kill_unix_s"] is None
