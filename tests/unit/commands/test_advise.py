"""advise: per workload and container the limit, the peak, the kills of the ledger and a next limit; as a table, JSON and patches."""

from __future__ import annotations

import json
import shlex
import sqlite3
import time
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest

from agent.cli import main
from agent.commands import EXIT_OK
from agent.commands.advise import advise
from agent.commands.output.table import Output
from agent.ledger.store import FILE
from agent.model import AgentError, OomKill, Outcome, Scope
from tests.unit.commands.world import CONTAINER, ID2, MIB, NODE, OTHER, UID, UID2, LookedAtNode, a_kill, pod_json

HASH = "7d4b9c6f5d"
NAME = f"herder-{HASH}-x2p4q"


def of_workload(
    kind: str, owner: str, name: str = NAME, qos: str = "Burstable", limit: str = "256Mi", **more: Any
) -> dict[str, Any]:
    """A pod whose controller is this; of a Deployment its ReplicaSet."""
    pod = pod_json(name=name, limits={"herder": limit}, **more)
    if kind == "Deployment":
        kind, owner = "ReplicaSet", f"{owner}-{HASH}"
        pod["metadata"]["labels"]["pod-template-hash"] = HASH
    if kind:
        pod["metadata"]["ownerReferences"] = [{"kind": kind, "name": owner, "controller": True}]
    pod["status"] |= {"qosClass": qos}
    return pod


def killed(
    ordinal: int,
    pod: str = NAME,
    uid: str = UID,
    scope: Scope | None = Scope.CONTAINER,
    limit: int = 256,
    outcome: Outcome = Outcome.SURVIVED,
    ago_s: float = 60.0,
) -> OomKill:
    kill = a_kill(ordinal, at=time.time() - ago_s, pod=pod)
    return replace(
        kill,
        pod_uid=uid,
        scope=scope,
        limit_bytes=limit * MIB,
        usage_bytes=limit * MIB,
        outcome=outcome,
        cgroup_inode=ordinal,
    )


def told(node: LookedAtNode, since_s: float | None = None) -> dict[str, Any]:
    file = StringIO()
    since_unix_s = None if since_s is None else time.time() - since_s
    assert advise(node.settings, Output.JSON, file, since_unix_s=since_unix_s) == EXIT_OK
    found: dict[str, Any] = json.loads(file.getvalue())
    return found


def patches(node: LookedAtNode) -> str:
    file = StringIO()
    assert advise(node.settings, Output.PATCH, file, since_unix_s=None) == EXIT_OK
    return file.getvalue()


def patch_in(text: str) -> tuple[list[str], Any]:
    """The command's words before the patch, and the patch."""
    (command,) = [line for line in text.splitlines() if not line.startswith("#")]
    *words, patch = shlex.split(command)
    return words, json.loads(patch)


def test_a_deployments_kills_ask_for_a_next_limit(node: LookedAtNode) -> None:
    node.server.put_pod(of_workload("Deployment", "herder"))
    node.write(f"{CONTAINER}/memory.peak", f"{250 * MIB}\n")
    node.remember(killed(1), killed(2, outcome=Outcome.DIED, ago_s=30))
    document = told(node)
    (row,) = document["workloads"]
    assert document["node"] == NODE
    assert {key: row[key] for key in row if key not in ("why", "last_kill_unix_s")} == {
        "namespace": "default", "workload_kind": "Deployment", "workload": "herder", "container": "herder", "pod_count": 1,
        "spec_limit_bytes": 256 * MIB, "peak_bytes": 256 * MIB, "peak_since_unix_s": None, "kill_count": 2, "processes_killed": 2,
        "survived_count": 1, "filled_by": None, "next_limit_bytes": 320 * MIB, "next_limit_quantity": "320Mi",
    }  # fmt: skip
    assert row["why"].startswith("2 OOM kills at the limit of 256Mi (the last 2")


def test_the_patch_is_a_command_that_changes_this_containers_limit_only(node: LookedAtNode) -> None:
    node.server.put_pod(of_workload("Deployment", "herder"))
    node.remember(killed(1))
    text = patches(node)
    words, patch = patch_in(text)
    assert text.startswith(
        "# Deployment default/herder, container herder to 320Mi: 1 OOM kill at the limit of 256Mi (2"
    )
    assert words == [
        "kubectl",
        "patch",
        "deployment",
        "herder",
        "--namespace",
        "default",
        "--type",
        "strategic",
        "--patch",
    ]
    containers = [{"name": "herder", "resources": {"limits": {"memory": "320Mi"}}}]
    assert patch == {"spec": {"template": {"spec": {"containers": containers}}}}
    assert told(node)["patches"][0]["patch"] == patch


def test_a_guaranteed_pod_keeps_its_class(node: LookedAtNode) -> None:
    node.server.delete_pod("default", "herder-1")
    node.server.put_pod(of_workload("StatefulSet", "db", "db-0", qos="Guaranteed"))
    node.remember(killed(1, "db-0"))
    (container,) = patch_in(patches(node))[1]["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": {"memory": "320Mi"}, "requests": {"memory": "320Mi"}}


def test_a_cron_jobs_template_is_deeper_and_named_without_the_time(node: LookedAtNode) -> None:
    node.server.put_pod(of_workload("Job", "night-29387520", "night-29387520-x2p4q"))
    node.remember(killed(1, "night-29387520-x2p4q"), killed(2, "night-29386080-bbbbb", "deleted"))
    words, patch = patch_in(patches(node))
    assert words[2:4] == ["cronjob", "night"]
    assert patch["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["name"] == "herder"
    assert told(node)["workloads"][0]["kill_count"] == 2, "those of the deleted pod too"


def test_a_bare_pod_is_resized_in_place(node: LookedAtNode) -> None:
    node.server.delete_pod("default", "herder-1")
    node.server.put_pod(of_workload("", "", "bare"))
    node.remember(killed(1, "bare"))
    words, patch = patch_in(patches(node))
    assert words[2:8] == ["pod", "bare", "--namespace", "default", "--subresource", "resize"]
    assert list(patch["spec"]) == ["containers"]


@pytest.mark.parametrize(
    ("kind", "owner", "to_do"),
    [
        ("Job", "load", "a Job's template cannot be changed"),
        ("SparkJob", "spark", "change it in the manifest that it is made of"),
        ("Node", "node-1", "change its manifest on the node"),
    ],
)
def test_what_cannot_be_patched_says_what_to_do(node: LookedAtNode, kind: str, owner: str, to_do: str) -> None:
    node.server.put_pod(of_workload(kind, owner))
    node.remember(killed(1))
    text = patches(node)
    assert f"no patch; {to_do}" in text
    assert all(line.startswith("#") for line in text.splitlines()), "a shell does nothing"


def test_a_bare_pod_that_is_over_is_not_patched(node: LookedAtNode) -> None:
    pod = of_workload("", "", "bare")
    pod["status"]["phase"] = "Failed"
    node.server.delete_pod("default", "herder-1")
    node.server.put_pod(pod)
    node.remember(killed(1, "bare"))
    assert "create it again" in patches(node)


def test_the_pods_own_limit_is_a_row_and_a_patch_of_its_own(node: LookedAtNode) -> None:
    pod = of_workload("Deployment", "herder")
    pod["spec"]["resources"] = {"limits": {"memory": "512Mi"}}
    node.server.put_pod(pod)
    node.remember(killed(1, scope=Scope.POD, limit=512))
    own, of_pod = told(node)["workloads"]
    assert (own["container"], own["next_limit_quantity"], own["kill_count"]) == ("herder", None, 1)
    assert (of_pod["container"], of_pod["spec_limit_bytes"], of_pod["next_limit_quantity"]) == (
        None,
        512 * MIB,
        "640Mi",
    )
    assert patch_in(patches(node))[1] == {
        "spec": {"template": {"spec": {"resources": {"limits": {"memory": "640Mi"}}}}}
    }


def test_a_pods_limit_that_is_a_sum_is_raised_by_hand(node: LookedAtNode) -> None:
    node.server.put_pod(of_workload("Deployment", "herder"))
    node.remember(killed(1, scope=Scope.POD, limit=256))
    assert "no patch; raise the limits of its containers" in patches(node)


def test_the_limit_is_that_of_the_newest_pod_and_the_peak_the_highest(node: LookedAtNode) -> None:
    old = of_workload("Deployment", "herder", limit="128Mi")
    old["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    old["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": "2026-01-01T00:00:05Z"}}
    new = of_workload("Deployment", "herder", f"herder-{HASH}-bbbbb", uid=UID2, ids={"herder": ID2}, limit="512Mi")
    new["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    new["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": "2026-02-01T00:00:05Z"}}
    node.container(OTHER, limit=512, peak=300)
    node.write(f"{CONTAINER}/memory.peak", f"{100 * MIB}\n")
    node.server.put_pod(old)
    node.server.put_pod(new)
    node.remember(killed(1, limit=128))
    (row,) = told(node)["workloads"]
    assert (row["pod_count"], row["spec_limit_bytes"], row["peak_bytes"]) == (2, 512 * MIB, 300 * MIB)
    assert (row["peak_since_unix_s"], row["next_limit_quantity"]) == (1767225605.0, None)


def test_kills_of_a_workload_without_pods_are_shown_and_not_patched(node: LookedAtNode) -> None:
    node.remember(killed(1, f"gone-{HASH}-x2p4q", "deleted"))
    rows = {row["workload"]: row for row in told(node)["workloads"]}
    assert rows.keys() == {"herder-1", "gone"}
    assert (rows["gone"]["pod_count"], rows["gone"]["spec_limit_bytes"], rows["gone"]["next_limit_quantity"]) == (
        0,
        256 * MIB,
        "320Mi",
    )
    assert told(node)["patches"] == []


@pytest.mark.parametrize("scope", [Scope.CONTAINER, Scope.NODE])
@pytest.mark.parametrize("pod_limit", [None, "512Mi"])
@pytest.mark.parametrize("left", [False, True])
def test_a_container_that_the_newest_pod_does_not_have_gets_no_next_limit(
    node: LookedAtNode, pod_limit: str | None, scope: Scope, left: bool
) -> None:
    """A rollout renamed it. ``left``: a pod of before is still there."""
    old, gone = of_workload("Deployment", "herder"), f"herder-{HASH}-bbbbb"
    new = of_workload("Deployment", "herder", gone, uid=UID2, ids={"renamed": ID2})
    old["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    new["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    for pod in (old, new):
        pod["spec"] |= {} if pod_limit is None else {"resources": {"limits": {"memory": pod_limit}}}
    for pod in (old, new) if left else (new,):
        node.server.put_pod(pod)
    node.remember(killed(1, uid=UID if left else "deleted", scope=scope))
    row = next(row for row in told(node)["workloads"] if row["container"] == "herder" and row["workload"] == "herder")
    assert (row["kill_count"], row["next_limit_bytes"], row["next_limit_quantity"]) == (1, None, None)
    assert (row["pod_count"], row["why"].startswith("1 OOM kill ")) == (int(left), True)
    assert row["why"].endswith("); the newest pod has no container of this name")
    assert told(node)["patches"] == []


def test_only_kills_since_then_count(node: LookedAtNode) -> None:
    node.server.put_pod(of_workload("Deployment", "herder"))
    node.remember(killed(1, ago_s=7200), killed(2, ago_s=600))
    assert [told(node, since)["workloads"][0]["kill_count"] for since in (None, 3600.0, 60.0)] == [2, 1, 0]


def test_people_get_a_table(node: LookedAtNode) -> None:
    node.server.put_pod(of_workload("Deployment", "herder"))
    node.remember(killed(1))
    file = StringIO()
    advise(node.settings, Output.TABLE, file, since_unix_s=None)
    head, row = file.getvalue().splitlines()
    assert head.split() == [
        "WORKLOAD",
        "KIND",
        "CONTAINER",
        "PODS",
        "LIMIT",
        "PEAK",
        "KILLS",
        "FILLED",
        "BY",
        "RAISE",
        "TO",
        "REASON",
    ]
    assert row.split()[:12] == [
        "default/herder",
        "Deployment",
        "herder",
        "1",
        "256",
        "MiB",
        "256",
        "MiB",
        "1",
        "-",
        "320Mi",
        "1",
    ]


def test_without_a_ledger_that_is_said(node: LookedAtNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(node)["workloads"][0]["kill_count"] == 0
    assert "there is no next limit" in capsys.readouterr().err


def test_without_the_api_there_is_no_advice(node: LookedAtNode) -> None:
    node.remember()
    node.server.close()
    with pytest.raises(AgentError, match="the API is not reachable, and advice needs"):
        told(node)


def test_a_kill_that_cannot_be_read_is_said_and_does_not_hide_the_others(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.server.put_pod(of_workload("Deployment", "herder"))
    node.remember(killed(1), killed(2, ago_s=30, scope=Scope.NODE))
    connection = sqlite3.connect(node.state / FILE)
    with connection:
        connection.execute("UPDATE kill SET body = 'x' WHERE scope = 'node'")
    connection.close()
    assert told(node)["workloads"][0]["next_limit_quantity"] == "320Mi"
    assert "left out kills that cannot be read" in capsys.readouterr().err


def test_the_command_line_takes_patch_for_advise_only(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ps", "--output", "patch", "--node-name", "n"])
    assert "invalid choice: 'patch'" in capsys.readouterr().err
