"""ps, explain and history on a real node, beside the agent, without it and without the API."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import DRIVERS, MODE, Node, make_node
from tests.lab.kubelet import MOUNT
from tests.lab.spec import MIB, Container, Instance, Pod

OUT = Path(os.environ.get("OOMWARD_LAB_OUT", "."))


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), request.param, status_delay_s=0.3)
    node.start_agent()
    yield node
    node.close()


@pytest.fixture(scope="module")
def herder(node: Node) -> Instance:
    """A pod in mode single that has lost a process; and one beside it that asks for nothing."""
    containers = (Container("herder", ("family", "2", "0", "2"), 64), Container("proxy", ("pause",), 32))
    instance, _ = node.kubelet.run_pod(Pod("herder", containers, labels={MODE: "single"}))
    node.kubelet.run_pod(Pod("plain", (Container("main", ("pause",), None),), runtime="runc"))
    node.agent.wait_for(lambda: node.events("ProcessOOMKilled", "herder"), 60, "told")
    node.agent.wait_for(lambda: node.agent.total("oomward_container_oom_group", pod="plain") == 1, 60, "plain is named")
    return instance


def as_json(node: Node, *arguments: str) -> Any:
    done = node.oomward(*arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_ps_shows_each_container_as_the_kernel_has_it_and_no_sandbox(node: Node, herder: Instance) -> None:
    rows = {(row["pod"], row["container"]): row for row in as_json(node, "ps")["containers"]}
    assert rows.keys() == {("herder", "herder"), ("herder", "proxy"), ("plain", "main")}
    row = rows["herder", "herder"]
    assert (row["mode_desired"], row["mode_actual"], row["limit_bytes"], row["processes_killed"]) == (
        "single",
        "single",
        64 * MIB,
        1,
    )
    assert 0 < row["usage_bytes"] <= 64 * MIB
    assert (rows["plain", "main"]["mode_desired"], rows["plain", "main"]["mode_actual"]) == (None, "group")
    assert rows["plain", "main"]["limit_bytes"] is None


def test_ps_shows_a_mode_that_is_not_in_force(node: Node, herder: Instance) -> None:
    node.agent.stop()
    knob = MOUNT / herder.path / "memory.oom.group"
    knob.write_text("1")
    rows = {row["container"]: row for row in as_json(node, "ps")["containers"]}
    assert (rows["herder"]["mode_desired"], rows["herder"]["mode_actual"]) == ("single", "group")
    node.start_agent()
    node.agent.wait_for(lambda: knob.read_text().strip() == "0", 60, "held again")


def test_explain_says_why_and_what_the_limits_are(node: Node, herder: Instance) -> None:
    done = node.oomward("explain", "default/herder")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    for fact in (
        f"single: label {MODE}=single",
        herder.container_id,
        "64 MiB + 32 MiB = 96 MiB",
        "memory.oom.group is 0",
        "Sandbox (pause)",
        "memory.limit_in_bytes",
    ):
        assert fact in text, fact
    by_id = as_json(node, "explain", herder.container_id[:12])
    assert by_id["pods"][0]["pod"] == "herder"


def test_history_has_the_kill_and_filters(node: Node, herder: Instance) -> None:
    (kill,) = as_json(node, "history", "--pod", "herder")["kills"]
    assert (kill["container"], kill["victims"][0]["comm"], kill["outcome"]) == ("herder", "worker", "survived")
    assert as_json(node, "history", "--namespace", "elsewhere")["kills"] == []
    assert "worker" in node.oomward("history", "--since", "1h").stdout


def test_report_is_a_page_about_the_kill_and_what_to_raise(node: Node, herder: Instance) -> None:
    done = node.oomward("report", "--html", "-", "-n", "default")
    assert done.returncode == 0, done.stderr
    assert "<b>1</b><span>OOM kill</span>" in done.stdout
    assert "<bdi>default</bdi>/<wbr><bdi>herder</bdi>" in done.stdout
    assert '<span class="badge survived">survived</span>' in done.stdout
    assert "64Mi &#8594; <b>96Mi</b>" in done.stdout


def test_diagnose_tells_of_the_lost_process_by_ledger_and_cgroup(node: Node, herder: Instance) -> None:
    """By the API's word nothing is wrong with the pod."""
    (one,) = as_json(node, "diagnose")["diagnoses"]
    assert (one["pod"], one["container"], one["category"]) == ("herder", "herder", "OOMKilledProcess")
    assert re.search(r"\(worker, 6\d(\.\d)?Mi\)", one["what"]), one["what"]
    # A process that is being killed may be charged beyond the limit (mm/memcontrol.c, try_charge_memcg): 64.2Mi was seen on 7.2.
    assert re.match(
        r"raise the limit from 64Mi to 96Mi: its peak was 64(\.\d)?Mi with 1 kill in an hour", one["advice"]
    ), one["advice"]
    assert one["next_step"]["will"] == "runs"
    assert as_json(node, "diagnose", "plain")["diagnoses"] == []
    assert as_json(node, "explain", "herder")["pods"][0]["diagnoses"] == [one]


def test_they_leave_their_screens_for_the_documents(node: Node, herder: Instance) -> None:
    """What docs/reference/commands.md shows is what was printed here."""
    screens = []
    for arguments in (("ps",), ("explain", "herder"), ("diagnose", "herder"), ("diagnose",), ("history",), ("check",)):
        done = node.oomward(*arguments)
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        screens.append(f"$ oomward {' '.join(arguments)}\n{done.stdout}")
    (OUT / f"screens-{node.kubelet.driver.name}.txt").write_text("\n".join(screens))


def test_without_the_api_what_is_known_is_shown_and_the_rest_by_id(node: Node, herder: Instance) -> None:
    node.api.close()
    done = node.oomward("ps")
    assert done.returncode == 0
    assert "the API is not reachable" in done.stderr
    assert "herder" in done.stdout
    assert node.oomward("history").returncode == 0
    refused = node.oomward("diagnose")
    assert refused.returncode == 1
    assert "the API is not reachable, and a diagnosis needs the pods' statuses" in refused.stderr
    node.api.start()
