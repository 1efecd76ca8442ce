"""From the nodes' documents to a report, whatever stands in them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.model import MemoryUse, Outcome, Scope
from agent.report.model import NearLimit, Place, Report, Silent
from agent.report.page import page
from agent.report.read import NodeAnswer, report_of
from tests.unit.profiles import examples

NOW = 1_000_000.0
MIB = 1 << 20
KILL: dict[str, Any] = {
    "at_unix_s": NOW - 60,
    "kill_id": "b-7-1",
    "node": "n1",
    "namespace": "shop",
    "pod": "web-7d9fb6c4c8-x2b4z",
    "container": "app",
    "processes_killed": 3,
    "victims": [{"pid": 7, "comm": "java", "rss_bytes": 5}],
    "scope": "container",
    "outcome": "died",
    "limit_bytes": 256 * MIB,
    "usage_bytes": 256 * MIB,
    "memory": {"anon_bytes": 200, "file_bytes": 56, "by_report": True},
    "seen": [{"pid": 7, "comm": "java", "command": "java -jar web.jar"}],
}
LESS = {name: value for name, value in KILL.items() if name not in ("processes_killed", "memory", "seen")}
NAMES = (
    "kills",
    "containers",
    "workloads",
    "patches",
    *KILL,
    "usage_bytes",
    "peak_bytes",
    "next_limit_bytes",
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(("node", "died", "1970-01-01T00:00:00Z")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)


def of(*answers: NodeAnswer, **more: Any) -> Report:
    return report_of(answers, now_unix_s=NOW, version="1", **more)


def history(*kills: dict[str, Any], node: str = "n1") -> NodeAnswer:
    return NodeAnswer(node, {"kills": list(kills)}, {"containers": []}, {"workloads": []})


def test_a_kill_is_read_with_everything_that_the_page_shows() -> None:
    (kill,) = of(history(KILL)).kills
    assert kill.place == Place("shop", "Deployment", "web", "web-7d9fb6c4c8-x2b4z", "app")
    assert (kill.at_unix_s, kill.node, kill.process, kill.command, kill.processes) == (
        NOW - 60,
        "n1",
        "java",
        "java -jar web.jar",
        3,
    )
    assert (kill.scope, kill.outcome, kill.limit_bytes) == (Scope.CONTAINER, Outcome.DIED, 256 * MIB)
    assert kill.use == MemoryUse(anon=200, file=56)


def test_a_kill_is_read_without_what_its_agent_does_not_know() -> None:
    (kill,) = of(history(LESS)).kills
    assert (kill.processes, kill.process, kill.use, kill.command) == (1, "java", None, None)


def test_a_command_line_of_another_process_is_not_the_victims() -> None:
    assert of(history(KILL | {"seen": [{"pid": 8, "command": "bash"}]})).kills[0].command is None


def test_a_kill_without_a_time_is_left_out_and_that_is_said() -> None:
    report = of(history(KILL, {"kill_id": "x", "time": 7}, {"at_unix_s": True}))
    assert len(report.kills) == 1
    assert "left out 2 kills without a time" in report.notes


def test_kills_of_all_nodes_come_newest_first() -> None:
    older = {"kill_id": "b-7-0", "at_unix_s": 864000.0}
    report = of(history(older, KILL), history(KILL | {"at_unix_s": NOW - 9, "node": "n2"}, node="n2"))
    assert [kill.at_unix_s for kill in report.kills] == [NOW - 9, NOW - 60, 864000.0]
    assert report.from_unix_s == 864000.0


def test_kills_before_the_time_and_of_other_namespaces_are_not_shown() -> None:
    kills = (KILL, KILL | {"kill_id": "1", "at_unix_s": NOW - 7200}, KILL | {"kill_id": "2", "namespace": "data"})
    report = of(history(*kills), since_unix_s=NOW - 3600, namespace="shop")
    assert [kill.at_unix_s for kill in report.kills] == [NOW - 60]
    assert (report.from_unix_s, report.to_unix_s, report.namespace) == (NOW - 3600, NOW, "shop")


def test_a_clock_that_is_ahead_loses_no_kill() -> None:
    report = of(history(KILL | {"at_unix_s": NOW + 50}))
    assert report.to_unix_s == NOW + 50
    assert len(report.kills) == 1


def test_a_node_that_did_not_answer_is_named_and_one_without_kills_too() -> None:
    report = of(
        NodeAnswer("n2", error="timed out"),
        history(KILL),
        NodeAnswer("n3", None, {}, {}, ("no ledger",)),
        NodeAnswer("n4", {}),
    )
    assert report.nodes == ("n1",)
    assert report.silent[0] == Silent("n2", "timed out")
    assert report.silent[1] == Silent("n3", "its OOM kills could not be read; no ledger")
    assert report.silent[2].node == "n4"


def test_notes_say_of_which_node_they_are_and_what_could_not_be_read() -> None:
    answer = NodeAnswer(
        "n1", {"kills": []}, None, None, ("only the newest 1000 kills are shown: raise --limit to see more",)
    )
    wanted = (
        "n1: only the newest 1000 kills are shown",
        "n1: the containers could not be read",
        "n1: the advice could not be read",
    )
    assert of(answer).notes == wanted


def test_containers_are_near_from_nine_tenths_of_their_limit_on_by_usage_or_peak() -> None:
    def row(pod: str, usage: int, peak: int | None, limit: int | None = 100) -> dict[str, Any]:
        return {
            "namespace": "shop",
            "pod": pod,
            "container": "c",
            "limit_bytes": limit,
            "usage_bytes": usage,
            "peak_bytes": peak,
        }

    rows = [
        row("a", 89, 89),
        row("b", 90, None),
        row("c", 10, 90),
        row("d", 99, 100),
        row("e", 99, 99, None),
        row("f", 1, 1, 0),
    ]
    report = of(NodeAnswer("n1", {"kills": []}, {"containers": [*rows, "no row", {"limit_bytes": 1}]}, {}))
    assert [one.pod for one in report.near] == ["d", "b", "c"]
    assert report.near[0] == NearLimit("n1", "shop", "d", "c", 100, 99, 100)
    assert report.containers == 7


def test_a_workload_that_the_advice_knows_is_found_by_a_pods_name() -> None:
    advised = {
        "workloads": [
            {"namespace": "shop", "workload_kind": "StatefulSet", "workload": "web", "container": "app", "pod_count": 1}
        ]
    }
    answer = NodeAnswer("n1", {"kills": [KILL | {"pod": "web-0"}]}, {}, advised)
    assert of(answer).kills[0].place.kind == "StatefulSet"


def test_a_kill_outside_of_pods_keeps_its_cgroup() -> None:
    (kill,) = of(history({"at_unix_s": NOW, "cgroup_path": "system.slice/cron.service"})).kills
    assert kill.place == Place(cgroup="system.slice/cron.service")


@given(JSON, JSON, JSON)
@examples(300)
def test_whatever_a_document_is_a_page_comes_of_it(one: Any, two: Any, three: Any) -> None:
    documents = [
        value if isinstance(value, dict) else {"kills": value, "containers": value, "workloads": value}
        for value in (one, two, three)
    ]
    answer = NodeAnswer("n1", documents[0] | {"kills": documents[0].get("kills", [])}, documents[1], documents[2])
    assert page(of(answer)).startswith("<!doctype html>")


def test_a_document_as_json_has_it_is_read() -> None:
    assert len(of(NodeAnswer("n1", json.loads(json.dumps({"kills": [KILL]})))).kills) == 1
