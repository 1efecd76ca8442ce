"""What a user types, and what comes of it: whom it asks, what it shows, its exit code."""

from __future__ import annotations

import json
import os
import shlex
import time
from dataclasses import asdict, replace
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
import yaml

from agent import __version__
from agent.cli import main
from agent.commands.arguments import COMMANDS
from agent.commands.parsers import parser
from agent.fleet import FleetError, answers, arguments, asking, tables
from agent.fleet.api import Api
from agent.fleet.arguments import SORT_KEYS, TALK
from agent.fleet.cluster import Agent
from agent.look.containers import CONTAINERS
from agent.look.kills import KILLS
from agent.wording.times import rfc3339
from tests.lab.apiexec import Ran
from tests.lab.apifaults import Fault, How
from tests.lab.fleet import (
    MIB,
    Cluster,
    advice,
    advised,
    event_json,
    failed,
    kill,
    node_json,
    passed,
    pod_json,
    printed,
    row,
)
from tests.unit.fleet.conftest import Done, Oomward

NOT_UTF_8 = os.fsdecode(b"\xff")  # as a shell's $'\xff' arrives


def nodes_of(done: Done) -> list[str]:
    """The first words of a table's rows."""
    return [line.split()[0] for line in done.lines[1:]]


def test_ps_lists_the_containers_of_all_nodes_with_their_node(oomward: Oomward) -> None:
    done = oomward("ps", "-A")
    assert (done.code, done.err) == (0, "")
    assert done.lines[0].split()[:4] == ["NODE", "POD", "CONTAINER", "DESIRED"]
    assert [line.split()[:2] for line in done.lines[1:]] == [
        ["node-1", "lab/web-1-1"],
        ["node-2", "lab/web-2-1"],
        ["node-3", "lab/web-3-1"],
        ["node-1", "shop/web-1-0"],
        ["node-2", "shop/web-2-0"],
        ["node-3", "shop/web-3-0"],
    ]


# ----------------------------------------------------------------------------------------------------------- whom it asks


def test_a_namespace_asks_only_the_nodes_of_its_pods(oomward: Oomward, cluster: Cluster) -> None:
    cluster.put_pod("billing", "cart-1", "node-2")
    done = oomward("ps", "-n", "billing")
    assert [line.split()[:2] for line in done.lines[1:]] == [["node-2", "billing/cart-1"]]
    assert [len(node.asked) for node in cluster.nodes.values()] == [0, 1, 0]


def test_without_a_namespace_it_is_the_contexts(oomward: Oomward, tmp_path: Path) -> None:
    config = json.loads((tmp_path / "kubeconfig").read_text())
    config["contexts"][0]["context"]["namespace"] = "shop"
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    assert {pod.split("/")[0] for pod in (line.split()[1] for line in oomward("ps").lines[1:])} == {"shop"}


def test_a_context_without_a_namespace_is_that_of_default(oomward: Oomward) -> None:
    assert oomward("ps").out == "No containers of pods in namespace default.\n"


def test_labels_choose_pods_and_their_nodes(oomward: Oomward, cluster: Cluster) -> None:
    cluster.put_pod("shop", "cart-1", "node-3", {"app": "cart"})
    done = oomward("ps", "-A", "-l", "app=cart")
    assert [line.split()[:2] for line in done.lines[1:]] == [["node-3", "shop/cart-1"]]
    assert not cluster.nodes["node-1"].asked


def test_a_node_may_be_named(oomward: Oomward, cluster: Cluster) -> None:
    assert set(nodes_of(oomward("ps", "-A", "--node", "node-2"))) == {"node-2"}
    assert not cluster.nodes["node-1"].asked


def test_a_named_node_that_the_cluster_does_not_have_has_not_answered(oomward: Oomward) -> None:
    done = oomward("ps", "-A", "--node", "node-9")
    assert done.code == 1
    assert done.err == "oomward: 1 of 1 node did not answer: node-9 (no such node)\n"


def test_whether_a_named_node_exists_is_not_guessed_where_nodes_may_not_be_listed(
    oomward: Oomward, cluster: Cluster
) -> None:
    cluster.server.forbidden.add(("list", "nodes"))
    assert "1 of 1 node did not answer: node-9 (no agent)" in oomward("ps", "-A", "--node", "node-9").err


def test_a_named_node_that_has_no_agent_by_design_exists(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.store.put_node(node_json("win-1", **{"kubernetes.io/os": "windows"}))
    assert "win-1 (no agent)" in oomward("ps", "-A", "--node", "win-1").err


def test_history_asks_every_node_for_the_namespace_and_the_time(oomward: Oomward, cluster: Cluster) -> None:
    oomward("history", "-n", "shop", "--since", "2d", "--limit", "7")
    words = ["oomward", "history", "--output", "json", "--since", "172800s", "--limit", "7", "--namespace", "shop"]
    asked = [node.asked for node in cluster.nodes.values()]
    assert asked == [[words]] * 3


def test_what_agents_are_asked_is_what_their_command_line_takes(oomward: Oomward, cluster: Cluster) -> None:
    typed: tuple[tuple[str, ...], ...] = (
        ("ps", "-A"),
        ("top", "-n", "shop"),
        ("history", "-n", "shop", "--since", "30d", "--limit", "5"),
        ("history", "-A", "--since", "2026-01-31T06:00:00Z"),
        ("explain", "shop/web-1-0"),
        ("explain", "shop/web-1-0", "-o", "yaml"),
        ("diagnose", "-A"),
        ("diagnose", "shop/web-1-0", "-o", "json"),
        ("advise", "-A", "--since", "1d12h"),
        ("check", "node-1"),
    )
    for one in typed:
        assert oomward(*one).code == 0, one
    asked = [words for node in cluster.nodes.values() for words in node.asked]
    for program, *words in asked:
        assert program == "oomward"
        assert parser().parse_args(words).command in COMMANDS
    assert {words[1] for words in asked} == {"ps", "history", "explain", "diagnose", "advise", "check"}


@pytest.mark.parametrize(
    "since", ["1970-01-01T00:00:00Z", "1980-01-01T00:00:00Z", "2001-01-01T00:00:00Z", "3650d", "1s"]
)
def test_any_time_that_kubectl_oomward_takes_the_agents_take_too(since: str) -> None:
    typed = arguments.parse(["history", "-A", "--since", since], "kubectl oomward")
    asked = replace(typed, since_unix_s=(typed.since_unix_s or 0.0) - 60.0)  # the cluster took a minute to answer
    found = parser().parse_args(["history", *asked.since_words()]).since_unix_s
    oldest = time.time() - 3650 * 86400
    assert found == pytest.approx(max(oldest, asked.since_unix_s or 0.0), abs=5.0)


def test_explain_asks_only_the_agent_of_the_pods_node(oomward: Oomward, cluster: Cluster) -> None:
    for words in (
        ("explain", "shop/web-2-0"),
        ("explain", "web-2-0", "-n", "shop"),
        ("explain", "pod/web-2-0", "-n", "shop"),
    ):
        done = oomward(*words)
        assert (done.code, done.out) == (0, "Pod shop/web-2-0\n  Phase    Running\n")
    assert cluster.nodes["node-2"].asked == [["oomward", "explain", "shop/web-2-0", "--output", "table"]] * 3
    assert not cluster.nodes["node-1"].asked


def test_explain_as_json_is_the_agents_document_with_the_node(oomward: Oomward) -> None:
    assert oomward("explain", "shop/web-2-0", "-o", "json").json == {
        "oomward": 1,
        "pods": [{"pod": "shop/web-2-0"}],
        "node": "node-2",
    }
    assert yaml.safe_load(oomward("explain", "shop/web-2-0", "-o", "yaml").out)["node"] == "node-2"


def test_diagnose_of_one_pod_asks_its_agent(oomward: Oomward, cluster: Cluster) -> None:
    oomward("diagnose", "shop/web-2-0")
    assert cluster.nodes["node-2"].asked == [["oomward", "diagnose", "shop/web-2-0", "--output", "table"]]


def test_a_pod_that_is_not_there_is_named_with_what_else_may_help(oomward: Oomward) -> None:
    done = oomward("explain", "web-9", "-n", "shop")
    assert done.code == 1
    assert "no pod web-9 in namespace shop" in done.err
    assert "history" in done.err


def test_a_pod_without_a_node_has_no_agent_to_ask(oomward: Oomward, cluster: Cluster) -> None:
    cluster.put_pod("shop", "late", "")
    done = oomward("explain", "shop/late")
    assert done.code == 1
    assert "pod shop/late has no node yet" in done.err


def put_unscheduled(cluster: Cluster) -> None:
    pod = pod_json("shop", "late", "", {"app": "late"})
    why = "0/3 nodes are available: 3 Insufficient memory."
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    pod["status"]["conditions"] = [scheduled | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]
    pod["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    cluster.server.put_pod(pod)


def test_a_pod_without_a_node_is_diagnosed_without_an_agent(oomward: Oomward, cluster: Cluster) -> None:
    put_unscheduled(cluster)
    for words in (
        ("diagnose", "shop/late"),
        ("diagnose", "-n", "shop"),
        ("diagnose", "-A"),
        ("diagnose", "-A", "-l", "app=late"),
    ):
        found = oomward(*words, "-o", "json").json["diagnoses"]
        assert [(one["node"], one["category"]) for one in found if one["pod"] == "late"] == [(None, "NotStarting")]
    assert "shop/late" in oomward("diagnose", "shop/late").out
    assert "late" not in oomward("diagnose", "-A", "--node", "node-1").out


def test_whoever_may_not_list_all_pods_is_told_that_those_without_a_node_are_not_known(
    oomward: Oomward, cluster: Cluster
) -> None:
    cluster.server.forbidden.add(("list", "pods"))
    done = oomward("diagnose", "-A")
    assert (done.code, len(done.lines)) == (0, 7)
    assert "pods without a node are not known: pods is forbidden" in done.err


def test_a_pod_on_a_node_without_an_agent_says_so(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.delete_pod("oomward", "oomward-node-2")
    done = oomward("explain", "shop/web-2-0")
    assert (done.code, done.err) == (1, "oomward: pod shop/web-2-0 is on node node-2, which can't be asked: no agent\n")


# ----------------------------------------------------------------------------------------------------------- what it shows


def test_top_shows_the_nearest_to_its_limit_first_and_those_without_a_limit_last(
    oomward: Oomward, cluster: Cluster
) -> None:
    rows = [
        row("node-1", "shop", "half", usage=50, limit=100),
        row("node-1", "shop", "none", usage=900, limit=None),
        row("node-1", "shop", "full", usage=99, limit=100),
    ]
    cluster.answer("node-1", "ps", printed(CONTAINERS.document(rows)))
    done = oomward("top", "-A", "--node", "node-1")
    assert [line.split()[1] for line in done.lines[1:]] == ["shop/full", "shop/half", "shop/none"]
    assert [" ".join(line.split()[3:5]) for line in done.lines[1:]] == ["99 %", "50 %", "- 900"]


def test_history_has_the_newest_kills_of_all_nodes_within_the_limit(oomward: Oomward, cluster: Cluster) -> None:
    for number, node in enumerate(cluster.nodes, start=1):
        kills = [kill(("shop", f"{node}-old"), 10 + number), kill(("shop", f"{node}-new"), 20 + number)]
        cluster.answer(node, "history", printed(KILLS.document(kills)))
    done = oomward("history", "-A", "--limit", "4")
    assert [line.split()[2] for line in done.lines[1:]] == [
        "shop/node-3-new",
        "shop/node-2-new",
        "shop/node-1-new",
        "shop/node-3-old",
    ]


def test_advise_adds_up_what_the_nodes_know_of_a_workload(oomward: Oomward, cluster: Cluster) -> None:
    more = replace(
        advice("shop", "web-1"),
        kill_count=9,
        next_limit_bytes=512 * MIB,
        next_limit_quantity="512Mi",
        why="9 OOM kills",
    )
    cluster.answer("node-3", "advise", printed({"workloads": [asdict(more)]}))
    found = oomward("advise", "-n", "shop", "-o", "json").json["workloads"]
    assert len(found) == 1
    assert {key: found[0][key] for key in ("pod_count", "kill_count", "next_limit_quantity", "why", "nodes")} == {
        "pod_count": 3,
        "kill_count": 13,
        "next_limit_quantity": "512Mi",
        "why": "9 OOM kills",
        "nodes": ["node-1", "node-2", "node-3"],
    }


def test_advise_prints_one_command_per_workload_with_the_highest_next_limits(
    oomward: Oomward, cluster: Cluster
) -> None:
    more = replace(advice("shop", "web-1"), next_limit_bytes=512 * MIB, next_limit_quantity="512Mi", why="9 kills\n;")
    other = replace(advice("shop", "web-1"), container="log")
    cluster.answer("node-2", "advise", printed(advised(more)))
    cluster.answer("node-3", "advise", printed(advised(other)))
    done = oomward("advise", "-n", "shop", "-o", "patch")
    assert (done.code, done.err) == (0, "")
    *reasons, command = done.lines
    assert reasons == [
        "# Deployment shop/web, container main to 512Mi: 9 kills\\x0a;",
        "# Deployment shop/web, container log to 320Mi: 2 OOM kills at the limit of 256Mi",
    ]
    *words, patch = shlex.split(command)
    assert words == ["kubectl", "patch", "deployment", "web", "--namespace", "shop", "--type", "strategic", "--patch"]
    containers = json.loads(patch)["spec"]["template"]["spec"]["containers"]
    limits = {one["name"]: one["resources"] for one in containers}
    assert limits == {"main": {"limits": {"memory": "512Mi"}}, "log": {"limits": {"memory": "320Mi"}}}
    assert oomward("advise", "-n", "shop", "-o", "json").json["patches"][0]["kubectl_command"] == command


def test_patches_are_of_the_namespace_that_is_asked_for(oomward: Oomward) -> None:
    assert "lab" not in oomward("advise", "-n", "shop", "-o", "patch").out
    assert "# Deployment lab/" in oomward("advise", "-A", "-o", "patch").out


def test_check_has_a_line_per_node_with_the_worst_result(oomward: Oomward, cluster: Cluster) -> None:
    cluster.answer("node-2", "check", printed({"checks": [passed("kernel"), failed("kernel log")]}, exit_code=1))
    done = oomward("check")
    assert done.code == 1
    assert done.err == ""
    assert [line.split()[:5] for line in done.lines[1:]] == [
        ["node-1", "pass", "0", "0", "2"],
        ["node-2", "fail", "1", "0", "1"],
        ["node-3", "pass", "0", "0", "2"],
    ]
    assert "kernel log: kernel log is missing" in done.lines[2]


def test_check_of_a_node_has_all_its_checks(oomward: Oomward, cluster: Cluster) -> None:
    cluster.answer("node-2", "check", printed({"checks": [passed("kernel"), failed("kernel log")]}, exit_code=1))
    done = oomward("check", "node-2")
    assert [line.split()[1:3] for line in done.lines[1:]] == [["pass", "kernel"], ["fail", "kernel"]]
    assert "To do: Mount it." in done.out


def test_events_are_oomwards_own_oldest_first(oomward: Oomward, cluster: Cluster) -> None:
    store = cluster.server.store
    store.put_event(
        event_json(
            "shop",
            "b",
            eventTime="2026-11-21T22:50:41.000000Z",
            series={"count": 3, "lastObservedTime": "2026-11-21T23:00:00.000000Z"},
        )
    )
    store.put_event(event_json("shop", "a"))
    store.put_event(event_json("lab", "other-namespace"))
    store.put_event(event_json("shop", "foreign", reportingController="kubelet"))
    store.put_event(
        event_json(
            "shop", "second-chance", reportingController="oomward.dev/recover", eventTime="2026-11-21T22:59:00.000000Z"
        )
    )
    done = oomward("events", "-n", "shop", "-o", "json")
    assert [one["event_name"] for one in done.json["events"]] == ["a", "second-chance", "b"]
    assert [one["times"] for one in done.json["events"]] == [1, 1, 3]
    assert [one["node"] for one in done.json["events"]] == ["node-1", None, "node-1"]
    assert {one["namespace"] for one in oomward("events", "-A", "-o", "json").json["events"]} == {"shop", "lab"}
    assert "pod/shop/web-1-0" in oomward("events", "-n", "shop").out


def test_events_of_the_last_hour_leave_out_older_ones(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.store.put_event(event_json("shop", "old"))
    cluster.server.store.put_event(event_json("shop", "new", eventTime=rfc3339(time.time() - 60, "microseconds")))
    assert [one["event_name"] for one in oomward("events", "-A", "--since", "1h", "-o", "json").json["events"]] == [
        "new"
    ]


def test_json_names_the_nodes_that_failed(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.delete_pod("oomward", "oomward-node-2")
    document = oomward("ps", "-A", "-o", "json").json
    assert document["oomward"] == 1
    assert document["unanswered"] == [{"node": "node-2", "why": "no agent"}]
    assert document["containers"][0]["node"] == "node-1"
    assert document["containers"][0]["limit_bytes"] == 256 * MIB


def test_yaml_is_the_same_as_json(oomward: Oomward) -> None:
    assert yaml.safe_load(oomward("ps", "-A", "-o", "yaml").out) == oomward("ps", "-A", "-o", "json").json


def test_names_are_as_kubectl_prints_them(oomward: Oomward, cluster: Cluster) -> None:
    assert oomward("ps", "-n", "shop", "-o", "name").lines == ["pod/web-1-0", "pod/web-2-0", "pod/web-3-0"]
    assert oomward("check", "-o", "name").lines == ["node/node-1", "node/node-2", "node/node-3"]
    assert oomward("advise", "-n", "shop", "-o", "name").lines == ["deployment/web"]


def test_wide_has_more_columns(oomward: Oomward) -> None:
    assert "CONTAINER ID" in oomward("ps", "-A", "-o", "wide").lines[0]
    assert "CONTAINER ID" not in oomward("ps", "-A").lines[0]


def test_sorting_by_a_number_has_the_largest_first_and_by_a_text_a_to_z(oomward: Oomward, cluster: Cluster) -> None:
    rows = [row("n", "shop", name, usage=usage) for name, usage in (("b", 30), ("c", 10), ("a", 20))]
    cluster.answer("node-1", "ps", printed(CONTAINERS.document(rows)))
    for column, order in (("usage", "bac"), ("peak", "bac"), ("pod", "abc")):
        done = oomward("ps", "-A", "--node", "node-1", "--sort-by", column, "-o", "name")
        assert "".join(line[-1] for line in done.lines) == order


def test_what_can_be_sorted_by_are_the_columns_that_have_an_order() -> None:
    ordered = {name: {c.sort_key for c in columns if c.sort} for name, columns in tables.COLUMNS.items()}
    assert ordered == {name: set(keys) for name, keys in SORT_KEYS.items()}


# ------------------------------------------------------------------------------------------------------ what does not answer


def test_the_nodes_that_did_not_answer_are_named_with_the_reason_and_the_rest_is_shown(
    oomward: Oomward, cluster: Cluster
) -> None:
    cluster.server.delete_pod("oomward", "oomward-node-2")
    cluster.answer("node-3", "ps", Ran(failure="container is not running"))
    done = oomward("ps", "-A")
    assert done.code == 1
    assert nodes_of(done) == ["node-1", "node-1"]
    why = "node-2 (no agent), node-3 (the command could not be run: container is not running)"
    assert done.err == f"oomward: 2 of 3 nodes did not answer: {why}\n"


def test_an_agent_that_does_not_run_says_why(oomward: Oomward, cluster: Cluster) -> None:
    cluster.put_agent("node-2", state={"waiting": {"reason": "CrashLoopBackOff"}}, ready=False)
    assert "node-2 (its agent does not run: CrashLoopBackOff)" in oomward("ps", "-A").err


def test_of_two_agents_on_a_node_the_one_that_is_ready_is_asked(oomward: Oomward, cluster: Cluster) -> None:
    cluster.put_agent("node-2", name="oomward-a", ready=False)
    cluster.server.commands["oomward", "oomward-a"] = lambda words: Ran(failure="the wrong one")
    assert oomward("ps", "-A").code == 0


def test_nodes_that_can_have_no_agent_are_not_missed(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.store.put_node(node_json("win", **{"kubernetes.io/os": "windows"}))
    cluster.server.store.put_node(node_json("fargate", **{"eks.amazonaws.com/compute-type": "fargate"}))
    cluster.server.store.put_node(node_json("virtual", type="virtual-kubelet"))
    assert oomward("ps", "-A").code == 0


def test_many_missing_nodes_are_counted_not_all_named(oomward: Oomward, cluster: Cluster) -> None:
    for number in range(10, 40):
        cluster.server.store.put_node(node_json(f"node-{number}"))
    done = oomward("ps", "-A")
    assert "30 of 33 nodes did not answer" in done.err
    assert "and 20 more" in done.err
    assert len(oomward("ps", "-A", "-o", "json").json["unanswered"]) == 30


def test_whoever_may_not_list_nodes_sees_the_agents_and_is_told(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.forbidden.add(("list", "nodes"))
    done = oomward("ps", "-A")
    assert done.code == 0
    assert len(done.lines) == 7
    assert "nodes without an agent are not known: nodes is forbidden" in done.err


def test_whoever_may_list_pods_in_the_agents_namespace_only_sees_the_agents(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.forbidden.add(("list", "pods"))
    assert oomward("ps", "-A").code == 0
    assert oomward("ps", "-A", "--agent-namespace", "oomward").code == 0


def test_whoever_may_list_no_pods_at_all_is_told_which_right_is_missing(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.forbidden |= {("list", "pods"), ("list", "pods in oomward")}
    done = oomward("ps", "-A")
    assert (done.code, done.out) == (1, "")
    assert 'User "lab" cannot list resource "pods"' in done.err
    assert "--agent-namespace" in done.err


def test_whoever_may_not_list_the_pods_of_a_namespace_still_has_its_rows_from_the_agents(
    oomward: Oomward, cluster: Cluster
) -> None:
    cluster.server.forbidden.add(("list", "pods in shop"))
    assert nodes_of(oomward("ps", "-n", "shop")) == ["node-1", "node-2", "node-3"]
    assert "cannot list" in oomward("ps", "-n", "shop", "-l", "app=web").err


@pytest.mark.parametrize("verb", ["get", "create"])
def test_whoever_may_not_exec_is_told_which_right_is_missing(oomward: Oomward, cluster: Cluster, verb: str) -> None:
    cluster.server.forbidden.add((verb, "pods/exec"))
    done = oomward("ps", "-A")
    assert (done.code, done.out) == (1, "No containers of pods.\n")
    assert f'cannot {verb} resource "pods/exec"' in done.err


def test_a_cluster_without_oomward_says_what_was_looked_for(oomward: Oomward, cluster: Cluster) -> None:
    for node in list(cluster.nodes):
        cluster.server.delete_pod("oomward", f"oomward-{node}")
        del cluster.server.store.nodes[node]
    done = oomward("ps", "-A")
    assert done.code == 1
    assert "app.kubernetes.io/name=oomward" in done.err


def test_a_tenants_pod_with_the_label_is_not_asked(oomward: Oomward, cluster: Cluster) -> None:
    cluster.put_pod("evil", "oomward-x", "node-1", {"app.kubernetes.io/name": "oomward"})
    assert oomward("ps", "-A").code == 0


def test_a_tenants_pod_that_looks_like_an_agent_does_not_answer_for_its_node(
    oomward: Oomward, cluster: Cluster
) -> None:
    for namespace in ("evil", "zevil"):
        cluster.put_agent("node-1", namespace=namespace, name="oomward-a")
        cluster.server.commands[namespace, "oomward-a"] = lambda words: printed({"containers": []})
    done = oomward("ps", "-A")
    assert (done.code, len(done.lines)) == (0, 7)
    assert "in the namespaces evil, oomward, zevil; only those in oomward are asked" in done.err


def test_where_it_is_not_clear_which_pods_are_the_agents_it_asks_for_their_namespace(
    oomward: Oomward, cluster: Cluster
) -> None:
    for node in cluster.nodes:
        cluster.server.delete_pod("oomward", f"oomward-{node}")
        cluster.put_agent(node, namespace="platform")
    assert oomward("ps", "-A").code == 0
    cluster.put_agent("node-1", namespace="evil", name="oomward-a")
    done = oomward("ps", "-A")
    assert (done.code, done.out) == (1, "")
    assert "in the namespaces evil, platform: give the agents' as --agent-namespace" in done.err
    assert oomward("ps", "-A", "--agent-namespace", "platform").code == 0


def test_what_an_agents_command_has_to_say_is_said_with_its_node(oomward: Oomward, cluster: Cluster) -> None:
    said = b"oomward: the agent has not reached the API yet\n"
    cluster.answer("node-2", "ps", printed({"containers": []}, stderr=said))
    done = oomward("ps", "-A")
    assert (done.code, done.err) == (0, "oomward: node node-2: the agent has not reached the API yet\n")


def test_an_older_agent_that_does_not_know_the_command_is_said_to_be_older(oomward: Oomward, cluster: Cluster) -> None:
    usage = b"usage: oomward [-h] COMMAND ...\noomward: error: unrecognized arguments: --since\n"
    cluster.answer("node-2", "history", Ran(stderr=usage, exit_code=2))
    done = oomward("history", "-A", "--since", "1h")
    assert "node-2 (its agent does not take this command: unrecognized arguments: --since)" in done.err


def test_an_answer_in_plain_text_is_of_another_version(oomward: Oomward, cluster: Cluster) -> None:
    cluster.answer("node-2", "ps", Ran(stdout=b"POD  CONTAINER\n"))
    assert "node-2 (its answer is not JSON: the agent is of another version)" in oomward("ps", "-A").err


def test_an_api_server_that_is_gone_is_reported_once(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.close()
    done = oomward("ps", "-A")
    assert (done.code, done.out) == (1, "")
    assert "connection refused" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_refused_login_is_reported(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.token = "another"
    why = "the API server does not accept your credentials (Unauthorized): log in again, until `kubectl get pods` works"
    assert (oomward("ps", "-A").code, oomward("ps", "-A").err) == (1, f"oomward: {why}\n")


def test_a_list_that_became_too_old_is_read_again(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.faults.add(Fault(How.STATUS, path="/api/v1/pods", status=410, reason="Expired"))
    assert oomward("ps", "-A").code == 0


def test_long_lists_are_read_page_by_page(oomward: Oomward, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.fleet.api.PAGE", 2)
    assert len(oomward("ps", "-n", "shop", "-l", "app=web").lines) == 4
    lists = [one for one in cluster.server.requests if one.path == "/api/v1/namespaces/shop/pods"]
    assert ["continue" in one.query for one in lists] == [False, True]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(How.SILENT, path="/api/v1/pods", times=None), "the API server did not answer within 1 s"),
        (Fault(How.CLOSE, path="/api/v1/pods", times=None), "the API server can't be reached"),
        (Fault(How.BODY, path="/api/v1/pods", times=None), "the API server's answer is not a JSON object"),
        (Fault(How.TRUNCATE, path="/api/v1/pods", times=None), "the API server's answer is not a JSON object"),
        (Fault(How.CUT_BODY, path="/api/v1/pods", times=None), "the API server's answer is not a JSON object"),
    ],
)
def test_an_api_server_that_does_not_answer_as_it_should_is_one_sentence(
    oomward: Oomward, cluster: Cluster, fault: Fault, why: str
) -> None:
    cluster.server.faults.add(fault)
    done = oomward("ps", "-A", "--timeout", "1s")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"oomward: {why}")


@pytest.mark.parametrize(
    "changes",
    [{"spec": None}, {"spec": {"containers": {}}}, {"status": []}, {"status": {"containerStatuses": [{}, 7]}}],
)
def test_an_odd_object_with_the_agents_label_costs_no_other_node_anything(
    oomward: Oomward, cluster: Cluster, changes: dict[str, object]
) -> None:
    pod = cluster.server.store.pods["oomward", "oomward-node-2"]
    cluster.server.put_pod(pod | changes)
    done = oomward("ps", "-A")
    assert done.code == 1
    assert nodes_of(done) == ["node-1", "node-3", "node-1", "node-3"]
    assert "1 of 3 nodes did not answer: node-2 (" in done.err


def test_escape_sequences_of_an_agent_do_not_reach_the_terminal(oomward: Oomward, cluster: Cluster) -> None:
    evil = "\x1b]0;owned\x07\u202e"
    cluster.answer("node-1", "explain", Ran(stdout=f"Pod {evil}\n".encode(), stderr=f"oomward: {evil}\n".encode()))
    cluster.answer("node-1", "ps", printed(CONTAINERS.document([row("n", "shop", evil)])))
    for words in (
        ("explain", "shop/web-1-0"),
        *(("ps", "-A", "-o", output) for output in ("table", "json", "yaml", "name")),
    ):
        done = oomward(*words)
        assert not {"\x1b", "\x07", "\u202e"} & {*done.out, *done.err}, words


# ------------------------------------------------------------------------------------------------------------- the program


@pytest.mark.parametrize("flag", ["context", "kubeconfig", "cluster", "user", "as", "token", "client-key"])
def test_what_kubectl_is_given_need_not_be_utf_8(flag: str, oomward: Oomward) -> None:
    done = oomward("ps", "-A", f"--{flag}", NOT_UTF_8)
    assert (done.code == 0) == (flag not in ("context", "kubeconfig"))
    assert not done.err or done.err.startswith("oomward: kubectl could not be started: ")


def test_a_page_may_have_any_name_that_files_have(oomward: Oomward, tmp_path: Path) -> None:
    assert oomward("report", "-A", "--html", f"{tmp_path}/{NOT_UTF_8}").code == 0
    done = oomward("report", "-A", "--html", f"{tmp_path}/no/{NOT_UTF_8}")
    assert (done.code, "cannot be written" in done.err) == (1, True)


@pytest.mark.parametrize("namespace", ["café", NOT_UTF_8, "a b", "a/../b", "\n"])
@pytest.mark.parametrize("words", [("ps",), ("events",), ("explain", "web-1-0"), ("report", "--html", "-")])
def test_a_context_s_namespace_that_is_no_name_is_said_to_be_none(
    words: tuple[str, ...], namespace: str, oomward: Oomward, tmp_path: Path
) -> None:
    config = json.loads((tmp_path / "kubeconfig").read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    done = oomward(*words)
    if namespace.strip():
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("oomward: the kubeconfig's namespace ")
        assert done.err.endswith("is no name of one: correct it, or give -n NAMESPACE\n")


def test_half_a_character_in_what_the_api_server_says_is_a_sentence() -> None:
    with pytest.raises(FleetError, match="not UTF-8"):
        Api("/nowhere", 1.0).get("/api/v1/pods", {"continue": "\ud800"})
    agents = [Agent("node-1", "oomward", "a\ud800"), Agent("node-2", "oomward", "a")]
    first, second = asking.ask("/nowhere", agents, ["ps"], answers.read_text, 5.0)
    assert (first.failure, second.failure) == ("what it is to be asked is not UTF-8", "No such file or directory")


@pytest.mark.parametrize(
    "words", [("explain", "shop/web-1-0"), ("diagnose", "shop/web-1-0"), ("ps", "-A"), ("ps", "-A", "-o", "name")]
)
def test_what_a_terminal_s_encoding_lacks_is_written_as_an_escape(
    words: tuple[str, ...], oomward: Oomward, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in ("explain", "diagnose"):
        cluster.answer("node-1", command, Ran(stdout="Pod café\n".encode()))
    cluster.answer("node-1", "ps", printed({"oomward": 1, "containers": [{"pod": "café", "namespace": "shop"}]}))
    written = TextIOWrapper(BytesIO(), "ascii")
    monkeypatch.setattr("sys.stdout", written)
    assert main(["--all-nodes", *words]) == 0
    written.seek(0)
    assert ("caf\\xe9" in written.read()) == ("name" not in words)


def test_names_of_a_node_are_words_of_a_shell_or_left_out(oomward: Oomward, cluster: Cluster) -> None:
    names = ["web", "--all", "a b", "$(reboot)", "café", "", 7, None, ["x"]]
    rows = [{"namespace": "shop", "pod": name, "workload": name, "workload_kind": "Deployment"} for name in names]
    cluster.answer("node-1", "ps", printed({"oomward": 1, "containers": rows}))
    found = oomward("ps", "-A", "-o", "name").lines
    assert [name for name in found if "web-" not in name] == ["pod/web"]
    kinds = [{**rows[0], "workload_kind": kind} for kind in ("a b", "--all", None)]
    cluster.answer("node-1", "advise", printed({"oomward": 1, "workloads": [*rows, *kinds]}))
    found = oomward("advise", "-A", "-o", "name").lines
    assert [name for name in found if "web-" not in name] == ["deployment/web"]


HOSTILE = {
    "deep": "[" * 400 + "]" * 400,
    "infinite": "1e400",
    "a limit of almost nothing": "5e-324",
    "half a character": '"\\ud800"',
    "a long number": "9" * 4299,
    "too long a number": "9" * 5000,
    "a list of numbers": "[1, 2]",
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("command", ["ps", "top"])
def test_whatever_one_node_answers_the_others_rows_are_printed(
    command: str, what: str, oomward: Oomward, cluster: Cluster
) -> None:
    text = f'{{"usage_bytes": 1, "limit_bytes": {HOSTILE[what]}, "pod": {HOSTILE[what]}, "\\ud800": {HOSTILE[what]}}}'
    answer = f'{{"oomward": 1, "containers": [{text}], "more": {HOSTILE[what]}}}'
    cluster.answer("node-1", "ps", Ran(stdout=answer.encode()))
    for output in ("table", "wide", "json", "yaml", "name"):
        done = oomward(command, "-A", "-o", output)
        assert "web-2-1" in done.out
        assert done.out.encode().decode() == done.out  # no half characters
        if output in ("json", "yaml"):
            found = yaml.safe_load(done.out) if output == "yaml" else json.loads(done.out, parse_constant=pytest.fail)
            assert {one["node"] for one in found["containers"]} >= {"node-2", "node-3"}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("command", ["explain", "diagnose"])
def test_whatever_a_node_answers_about_a_pod_is_printed_or_is_a_sentence(
    command: str, what: str, oomward: Oomward, cluster: Cluster
) -> None:
    answer = f'{{"oomward": 1, "diagnoses": [], "more": {HOSTILE[what]}, "\\ud800": 1}}'
    cluster.answer("node-1", command, Ran(stdout=answer.encode()))
    for output in ("json", "yaml", *(("name",) if command == "diagnose" else ())):
        done = oomward(command, "shop/web-1-0", "-o", output)
        assert done.err.startswith("oomward: node node-1: its answer is n") if done.code else not done.err
        if output == "json" and not done.code:
            json.loads(done.out, parse_constant=pytest.fail)


def test_help_and_version_start_no_kubectl(oomward: Oomward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert oomward("--version").out == f"oomward {__version__}\n"
    assert oomward("version").out == f"oomward {__version__}\n"
    assert oomward("help").out == oomward("--help").out
    assert oomward("help", "ps").out == oomward("ps", "--help").out
    assert oomward("version", "-o", "json").json["version"] == __version__
    assert oomward("completion").out.startswith("#!/bin/sh\n")


@pytest.mark.parametrize("name", arguments.COMMANDS | TALK)
def test_a_command_s_help_is_what_it_does_and_its_own_options_before_kubectl_s(name: str, oomward: Oomward) -> None:
    """The usage is one line: kubectl's flags would fill ten."""
    text = oomward("help", name).out
    usage, empty, about, *_ = text.splitlines()
    assert usage.startswith(f"usage: kubectl oomward {name} ")
    assert usage.endswith("[OPTIONS]")
    assert (empty, about[:8]) == ("", (arguments.COMMANDS | TALK)[name][:8].capitalize())
    assert f"    {name}" in oomward("help").out
    assert max(map(len, text.splitlines())) <= 80
    if name in arguments.COMMANDS:
        assert text.index("  --timeout") < text.index("of kubectl:")


def test_without_kubectl_it_says_so(oomward: Oomward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = oomward("ps", "-A")
    assert done.code == 1
    assert "kubectl is not on PATH" in done.err


def test_what_kubectl_refuses_is_passed_on(oomward: Oomward) -> None:
    done = oomward("ps", "-A", "--context", "nope")
    assert (done.code, done.err) == (1, 'oomward: kubectl could not be started: context "nope" does not exist\n')


def test_an_old_kubectl_is_started_without_the_flag_that_it_lacks(
    oomward: Oomward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_IS_OLD", "1")
    assert oomward("ps", "-A").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("ps", "-A", "-n", "shop"),
        ("ps", "-A", "--watch", "-o", "name"),
        ("ps", "-A", "--sort-by", "colour"),
        ("ps", "--watch", "1s"),
        ("ps", "--watch", "999999999d"),
        ("ps", "--timeout", "999999999d"),
        ("ps", "--timeout", "0"),
        ("ps", "-n", "../x"),
        ("ps", "-n", "café"),
        ("ps", "-l", f"app={NOT_UTF_8}"),
        ("ps", "--node", NOT_UTF_8),
        ("ps", "--sort-by", NOT_UTF_8),
        ("ps", "--agent-namespace", NOT_UTF_8),
        ("check", NOT_UTF_8),
        ("explain", f"shop/{NOT_UTF_8}"),
        ("history", "--since", NOT_UTF_8),
        (NOT_UTF_8,),
        ("explain",),
        ("explain", "a/b/c"),
        ("explain", "shop/web", "-n", "lab"),
        ("diagnose", "web", "-A"),
        ("diagnose", "web", "-l", "app=web"),
        ("history", "--limit", "0"),
        ("history", "--since", "soon"),
        ("run",),
    ],
)
def test_wrong_arguments_start_nothing(
    oomward: Oomward, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = oomward(*words)
    assert done.code == 2
    assert "kubectl is not on PATH" not in done.err


def test_watch_shows_the_last_answer_while_the_cluster_can_not_be_asked(
    oomward: Oomward, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = []

    def wait(seconds: float) -> None:
        turns.append(seconds)
        if len(turns) == 1:
            cluster.server.close()
        if len(turns) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("agent.commands.watching.wait_beside", lambda file: wait)
    done = oomward("ps", "-A", "--watch", "3", "-o", "json")
    documents = [json.loads(line) for line in done.lines]
    assert done.code == 0
    assert turns == [3.0, 3.0]
    assert [len(one["containers"]) for one in documents] == [6, 6]
    assert "this is the last answer" in done.err
