"""The advice of several nodes about one workload becomes one row with one command, or none if they don't agree."""

from __future__ import annotations

from typing import Any

from agent.report.model import Raise
from agent.report.raises import DIFFERENT
from agent.report.read import NodeAnswer, report_of

MIB = 1 << 20


def row(container: str | None = "app", limit: int | None = 320, kills: int = 2, **more: Any) -> dict[str, Any]:
    text = None if limit is None else f"{limit}Mi"
    return {
        "namespace": "shop", "workload_kind": "Deployment", "workload": "web", "container": container, "pod_count": 1,
        "spec_limit_bytes": 256 * MIB, "peak_bytes": 250 * MIB, "kill_count": kills, "why": f"{kills} OOM kills",
        "next_limit_bytes": None if limit is None else limit * MIB, "next_limit_quantity": text, **more,
    }  # fmt: skip


def patch(command: str | None, advice: str | None = None) -> dict[str, Any]:
    return {
        "namespace": "shop",
        "workload_kind": "Deployment",
        "workload": "web",
        "kubectl_command": command,
        "advice": advice,
    }


def raises(*nodes: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> tuple[Raise, ...]:
    answers = [
        NodeAnswer(f"n{at}", {"kills": []}, {}, {"workloads": rows, "patches": patches})
        for at, (rows, patches) in enumerate(nodes)
    ]
    return report_of(answers, now_unix_s=1e9, version="1").raises


def test_a_row_without_a_next_limit_is_no_advice() -> None:
    assert raises(([row(limit=None)], [])) == ()


def test_rows_of_two_nodes_are_one_with_the_highest_next_limit_and_all_kills() -> None:
    (one,) = raises(([row()], [patch("to 320Mi")]), ([row(limit=640, kills=5, peak_bytes=1)], [patch("to 640Mi")]))
    assert (one.next_limit, one.kills, one.command) == ("640Mi", 7, "to 640Mi")
    assert one.peak_bytes == 250 * MIB
    assert one.reason == "5 OOM kills; 2 OOM kills more on other nodes"


def test_a_command_that_sets_all_of_a_workloads_containers_is_for_each_of_them() -> None:
    found = raises(([row("a"), row("b")], [patch("both")]))
    assert [one.command for one in found] == ["both", "both"]


def test_two_nodes_with_commands_for_different_containers_have_none_that_is_right() -> None:
    found = raises(([row("a")], [patch("only a")]), ([row("b")], [patch("only b")]))
    assert [(one.command, one.to_do) for one in found] == [(None, DIFFERENT), (None, DIFFERENT)]


def test_what_no_command_can_do_is_said() -> None:
    (one,) = raises(([row()], [patch(None, "change it where the Job is made")]))
    assert (one.command, one.to_do) == (None, "change it where the Job is made")


def test_the_limit_of_the_pods_is_a_row_of_its_own() -> None:
    assert [one.container for one in raises(([row("a", kills=9), row(None)], []))] == ["a", None]
