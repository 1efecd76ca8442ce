"""The advice of several nodes about one workload becomes one row with one command, or none if they don't agree."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from agent.look.patches import OF_A_SUM
from agent.report.model import Raise
from agent.report.read import NodeAnswer, report_of

MIB = 1 << 20


def row(container: str | None = "app", limit: int | None = 320, kills: int = 2, **more: Any) -> dict[str, Any]:
    text = None if limit is None else f"{limit}Mi"
    return {
        "namespace": "shop", "workload_kind": "Deployment", "workload": "web", "container": container, "pod_count": 1,
        "spec_limit_bytes": 256 * MIB, "peak_bytes": 250 * MIB, "kill_count": kills, "why": f"{kills} OOM kills",
        "next_limit_bytes": None if limit is None else limit * MIB, "next_limit_quantity": text, **more,
    }  # fmt: skip


def patch(limits: dict[str, str], advice: str | None = None, **more: Any) -> dict[str, Any]:
    containers = [{"name": name, "resources": {"limits": {"memory": limit}}} for name, limit in limits.items()]
    spec = {"spec": {"template": {"spec": {"containers": containers}}}} if limits else None
    return {
        "namespace": "shop", "workload_kind": "Deployment", "workload": "web", "patch": spec, "kubectl_command": "rm -rf ~",
        "advice": advice, **more,
    }  # fmt: skip


def set_by(command: str | None) -> dict[str, str]:
    """The memory limit by container."""
    assert command is not None
    *words, text = shlex.split(command)
    assert " ".join(words) == "kubectl patch deployment web --namespace shop --type strategic --patch"
    containers = json.loads(text)["spec"]["template"]["spec"]["containers"]
    assert all(list(one) == ["name", "resources"] and list(one["resources"]) == ["limits"] for one in containers)
    return {one["name"]: one["resources"]["limits"]["memory"] for one in containers}


def raises(*nodes: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> tuple[Raise, ...]:
    answers = [
        NodeAnswer(f"n{at}", {"kills": []}, {}, {"workloads": rows, "patches": patches})
        for at, (rows, patches) in enumerate(nodes)
    ]
    return report_of(answers, now_unix_s=1e9, version="1").raises


def test_a_row_without_a_next_limit_is_no_advice() -> None:
    assert raises(([row(limit=None)], [])) == ()


def test_a_container_of_deleted_pods_that_no_pod_has_any_more_is_no_advice() -> None:
    """Node n0 has the kills of a container that the pods on n1 do not have, as n1 says if it has kills of it, too."""
    removed, of_pods = row("removed", pod_count=0), row(None, pod_count=0)
    for known in ([], [row("removed", limit=None, pod_count=0)]):
        found = raises(([removed, of_pods], []), ([row("app"), *known], [patch({"app": "320Mi"})]))
        assert [one.container for one in found] == [None, "app"]
    assert [one.container for one in raises(([removed], []))] == ["removed"], "no pod is known that says otherwise"


def test_rows_of_two_nodes_are_one_with_the_highest_next_limit_and_all_kills() -> None:
    (one,) = raises(
        ([row()], [patch({"app": "320Mi"})]), ([row(limit=640, kills=5, peak_bytes=1)], [patch({"app": "640Mi"})])
    )
    assert (one.next_limit, one.kills, set_by(one.command)) == ("640Mi", 7, {"app": "640Mi"})
    assert one.peak_bytes == 250 * MIB
    assert one.reason == "5 OOM kills; 2 OOM kills more on other nodes"


def test_the_highest_next_limit_counts_in_whatever_order_nodes_answer() -> None:
    high = [row(limit=640)], [patch({"app": "640Mi"})]
    (one,) = raises(high, ([row()], [patch({"app": "320Mi"})]))
    assert (one.next_limit, set_by(one.command)) == ("640Mi", {"app": "640Mi"})


def test_a_command_sets_all_of_a_workloads_containers_and_is_for_each_of_them() -> None:
    found = raises(([row("a"), row("b")], [patch({"a": "320Mi", "b": "320Mi"})]))
    assert [set_by(one.command) for one in found] == [{"a": "320Mi", "b": "320Mi"}] * 2


def test_two_nodes_with_patches_for_different_containers_have_one_command_for_both() -> None:
    found = raises(([row("a")], [patch({"a": "320Mi"})]), ([row("b")], [patch({"b": "320Mi"})]))
    assert [set_by(one.command) for one in found] == [{"a": "320Mi", "b": "320Mi"}] * 2


@pytest.mark.parametrize("limit", ["320Mi; rm -rf ~", "", "1e3", "320Mi\n", 320])
def test_what_is_no_quantity_is_no_limit_in_a_command(limit: Any) -> None:
    (one,) = raises(([row()], [patch({"app": limit})]))
    assert (one.command, one.to_do) == (None, OF_A_SUM)


def test_whatever_else_a_nodes_patch_changes_is_not_in_the_command() -> None:
    given = patch({"app": "320Mi"})
    given["patch"]["spec"]["template"]["spec"] |= {"hostPID": True}
    given["patch"]["spec"]["template"]["spec"]["containers"][0] |= {"image": "evil"}
    (one,) = raises(([row()], [given]))
    assert set_by(one.command) == {"app": "320Mi"}
    assert "hostPID" not in str(one.command)


@pytest.mark.parametrize("name", ["--server=https://evil", "-f", "web/../x", "", "a b", "web\n", "Web", "x" * 254])
@pytest.mark.parametrize("key", ["workload", "namespace"])
def test_a_name_that_no_object_has_gets_no_command(key: str, name: str) -> None:
    """kubectl takes what begins with a dash for an option: a node's answer could send an administrator's token elsewhere."""
    named: dict[str, Any] = {key: name}
    for one in raises(([row(**named)], [patch({"app": "320Mi"}, **named)])):
        assert one.command is None


def test_the_request_of_a_guaranteed_pod_stays_equal_to_its_limit() -> None:
    given = patch({"app": "320Mi"})
    resources = given["patch"]["spec"]["template"]["spec"]["containers"][0]["resources"]
    resources["requests"] = {"memory": "320Mi"}
    (one,) = raises(([row()], [given]))
    assert json.dumps(resources, separators=(",", ":")) in str(one.command)


def test_what_no_command_can_do_is_said() -> None:
    (one,) = raises(([row()], [patch({}, "change it where the Job is made")]))
    assert (one.command, one.to_do) == (None, "change it where the Job is made")


def test_the_limit_of_the_pods_is_a_row_of_its_own() -> None:
    assert [one.container for one in raises(([row("a", kills=9), row(None)], []))] == ["a", None]
