"""diagnose: the pods of a node that aren't well, by the API's statuses, the ledger's kills and the cgroups; and explain's part of it."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.commands import EXIT_OK
from agent.commands.diagnose import diagnose
from agent.commands.explain import explain
from agent.commands.output.table import Output
from agent.commands.parsers import parser
from agent.model import AgentError, OomKill, Outcome, Scope, Victim
from tests.lab.apifaults import Fault, How
from tests.unit.commands.world import CONTAINER, ID, MIB, NODE, UID, LookedAtNode, Terminal, pod_json
from tests.unit.diagnose.recorded import recorded

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "commands.md"
MISSING = "config-secret-missing-kubelet-1.29"
EVICTED = "evicted-memory-kubelet-1.29"


def clock(ago_s: float = 0.0) -> str:
    return datetime.fromtimestamp(time.time() - ago_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def put(node: LookedAtNode, name: str, pod: str = "web-6c9f7d5b8-x2p4q", uid: str = "u-2") -> None:
    """A recorded pod, on this node."""
    found = recorded(name).pod
    found["metadata"] |= {"name": pod, "uid": uid}
    node.server.put_pod(found)


def killed(ago_s: float, outcome: Outcome = Outcome.SURVIVED) -> OomKill:
    return OomKill(
        "boot", 7, int(ago_s), time.time() - ago_s, NODE, CONTAINER, 1, "default", "herder-1", UID, "herder", ID, (Victim(4312, "worker"),),
        scope=Scope.CONTAINER, limit_bytes=256 * MIB, usage_bytes=256 * MIB, outcome=outcome,
    )  # fmt: skip


def crash_looping(kills_ago_s: float) -> dict[str, Any]:
    """default/herder-1 as it is between two tries, its last instance killed for memory."""
    pod = pod_json(limits={"herder": "256Mi"})
    ended = {
        "exitCode": 137,
        "reason": "OOMKilled",
        "startedAt": clock(kills_ago_s + 600),
        "finishedAt": clock(kills_ago_s),
    }
    message = f"back-off 2m40s restarting failed container=herder pod=herder-1_default({UID})"
    pod["status"]["containerStatuses"][0] |= {
        "restartCount": 6, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": message}}, "lastState": {"terminated": ended},
    }  # fmt: skip
    return pod


def told(node: LookedAtNode, pod: str | None = None) -> list[dict[str, Any]]:
    file = StringIO()
    assert diagnose(node.settings, pod, Output.JSON, file) == EXIT_OK
    assert file.getvalue().isascii()
    rows: list[dict[str, Any]] = json.loads(file.getvalue())["diagnoses"]
    return rows


def text(node: LookedAtNode, pod: str | None = None, file: StringIO | None = None) -> str:
    file = file or StringIO()
    assert diagnose(node.settings, pod, Output.TABLE, file) == EXIT_OK
    return file.getvalue()


def on_a_terminal(node: LookedAtNode, columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The table's lines on one that wide, less its colours."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = re.sub("\x1b\\[[0-9;]*m", "", text(node, None, Terminal()))
    return [line.rstrip() for line in shown.splitlines()]


# ---------------------------------------------------------------------------------------------------------- all the node


def test_a_node_whose_pods_are_well_says_so(node: LookedAtNode) -> None:
    node.remember()
    assert text(node) == f"No problems found in the statuses of the pods of node {NODE}.\n"
    assert told(node) == []


def test_each_container_that_is_not_well_is_a_row_by_pods_name(node: LookedAtNode) -> None:
    node.remember()
    put(node, MISSING, "web-1")
    put(node, EVICTED, "api-1", "u-3")
    rows = [line.split() for line in text(node).splitlines()]
    assert rows[0] == [
        "POD",
        "CONTAINER",
        "CATEGORY",
        "TRANSIENT?",
        "RETRY",
        "HELPS?",
        "KUBERNETES",
        "WILL",
        "WHAT",
        "TO",
        "DO",
    ]
    assert [row[:6] for row in rows[1:]] == [
        ["shop/api-1", "-", "Evicted", "yes", "yes", "replace"],
        ["shop/web-1", "web", "CreateContainerConfigError", "no", "no", "retry"],
    ]


def test_programs_get_every_field(node: LookedAtNode) -> None:
    node.remember()
    put(node, MISSING)
    (row,) = told(node)
    assert row == {
        "namespace": "shop", "pod": "web-6c9f7d5b8-x2p4q", "pod_uid": "u-2", "container": "web", "kind": "regular",
        "category": "CreateContainerConfigError", "rule": "config-object-missing", "transient": "no", "retry_helps": "no",
        "what": "container web needs secret app-secret, which does not exist", "message": 'secret "app-secret" not found',
        "next_step": {"will": "retry", "text": "the kubelet keeps retrying, about every 10 s to 1 min",
                      "back_off_s": None, "due_unix_s": None},
        "advice": "create secret app-secret in namespace shop, correct the reference, or mark it optional; the kubelet then continues",
    }  # fmt: skip


def test_on_a_terminal_what_does_not_fit_is_left_out_or_folded(
    node: LookedAtNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.remember()
    put(node, MISSING)
    lines = on_a_terminal(node, 110, monkeypatch)
    assert lines[0].split() == [
        "POD",
        "CONTAINER",
        "CATEGORY",
        "KUBERNETES",
        "WILL",
        "TO",
        "DO",
    ]
    assert max(map(len, lines)) <= 110


def test_kills_of_the_ledger_and_the_cgroups_peak_are_in_the_advice(node: LookedAtNode) -> None:
    """By the API's word nothing is wrong with this pod."""
    node.write(f"{CONTAINER}/memory.peak", f"{250 * MIB}\n")
    node.remember(killed(30), killed(90), killed(4000))
    (row,) = told(node)
    assert (row["pod"], row["category"], row["rule"]) == ("herder-1", "OOMKilledProcess", "running-oom")
    assert row["advice"].startswith("raise the limit from 256Mi to 320Mi: its peak was 250Mi with 2 kills in an hour")


def test_without_a_ledger_the_statuses_alone_are_diagnosed_and_that_is_said(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    put(node, MISSING)
    assert len(told(node)) == 1
    assert "OOM kills are taken from the pods' statuses only: no ledger to read" in capsys.readouterr().err


def test_a_pod_that_cannot_be_read_is_told_and_the_others_are_diagnosed(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.remember()
    put(node, MISSING)
    node.server.faults.add(Fault(How.POISON, verb="list"))
    assert len(told(node)) == 1
    assert "spec is str, not an object" in capsys.readouterr().err


def test_a_cgroup_file_that_cannot_be_read_is_told(node: LookedAtNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.remember(killed(30))
    node.write(f"{CONTAINER}/memory.peak", "")
    node.unreadable(f"{CONTAINER}/memory.peak")
    (row,) = told(node)
    assert row["advice"].startswith("raise the limit from 256Mi to 320Mi: 1 kill in an hour"), "without the peak"
    assert "memory.peak" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------------- one pod


@pytest.mark.parametrize("pod", ["herder-1", "default/herder-1", UID, ID[:6]])
def test_one_pod_is_called_as_for_explain(node: LookedAtNode, pod: str) -> None:
    node.remember(killed(30))
    put(node, MISSING)
    assert [row["pod"] for row in told(node, pod)] == ["herder-1"]


@pytest.mark.parametrize("pod", [None, "herder-1"])
def test_one_list_of_pods_is_all_that_the_api_is_asked(node: LookedAtNode, pod: str | None) -> None:
    node.remember()
    told(node, pod)
    assert [request.verb for request in node.server.requests] == ["list"]


def test_one_pod_that_is_well_says_so(node: LookedAtNode) -> None:
    node.remember()
    assert text(node, "herder-1") == "No problems found in the status of pod default/herder-1.\n"


def test_a_pod_that_is_not_here_is_an_error(node: LookedAtNode) -> None:
    with pytest.raises(AgentError, match="no pod nobody on node node-1"):
        told(node, "nobody")


def test_a_pod_that_only_has_a_cgroup_is_an_error_that_says_so(node: LookedAtNode) -> None:
    node.server.delete_pod("default", "herder-1")
    with pytest.raises(AgentError, match="so it has no status to diagnose"):
        told(node, UID)


# ------------------------------------------------------------------------------------------------------- without the API


@pytest.mark.parametrize("pod", [None, UID])
def test_without_the_api_there_is_no_diagnosis_and_it_says_what_else_there_is(
    node: LookedAtNode, pod: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    node.server.close()
    with pytest.raises(AgentError, match=r"a diagnosis needs the pods' statuses.*oomward history"):
        told(node, pod)
    assert "the API is not reachable" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------- explain, the page


def test_explain_has_a_section_for_each_container_that_is_not_well(node: LookedAtNode) -> None:
    node.remember(killed(30))
    file = StringIO()
    explain(node.settings, "herder-1", Output.TABLE, file)
    section = file.getvalue().split("Diagnosis of container herder (regular)\n")[1].partition("\n\n")[0]
    assert [line[:10].strip() for line in section.splitlines()] == ["Category", "What", "Outlook", "Next", "To do"]
    file = StringIO()
    explain(node.settings, "herder-1", Output.JSON, file)
    (one,) = json.loads(file.getvalue())["pods"][0]["diagnoses"]
    assert (one["container"], one["category"]) == ("herder", "OOMKilledProcess")


def test_explain_of_a_pod_that_is_well_says_nothing_of_it(node: LookedAtNode) -> None:
    node.remember()
    file = StringIO()
    explain(node.settings, "herder-1", Output.TABLE, file)
    assert "Diagnosis" not in file.getvalue()


def test_the_pages_screens_are_what_it_prints(node: LookedAtNode, monkeypatch: pytest.MonkeyPatch) -> None:
    node.remember(*(killed(60.0 * n + 30, Outcome.DIED) for n in range(7)))
    node.server.put_pod(crash_looping(30))
    put(node, "init-image-crio-1.29", "web-1")
    put(node, EVICTED, "api-1", "u-3")
    page = PAGE.read_text()
    one = re.sub(r"next try in .*", "next try in 2 min 10 s", text(node, "herder-1"))  # give or take a second
    assert f"$ oomward diagnose herder-1\n{one}```" in page
    shown = "\n".join(on_a_terminal(node, 140, monkeypatch))
    assert f"$ oomward diagnose\n{shown}\n```" in page


# --------------------------------------------------------------------------------------------------------------- arguments


def test_a_pod_and_all_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["diagnose", "herder-1", "--all"])
    assert "not allowed with" in capsys.readouterr().err
    assert parser().parse_args(["diagnose"]).pod is None
    assert parser().parse_args(["diagnose", "--all"]).pod is None


def test_the_command_is_wired(node: LookedAtNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.remember()
    put(node, MISSING)
    flags = {
        "--node-name": NODE,
        "--cgroup-mount": node.mount,
        "--state-dir": node.state,
        "--kubeconfig": node.path / "kubeconfig",
    }
    arguments = [str(part) for flag in flags.items() for part in flag]
    assert main(["diagnose", "--all", "--output", "json", *arguments]) == EXIT_OK
    assert json.loads(capsys.readouterr().out)["diagnoses"][0]["category"] == "CreateContainerConfigError"
