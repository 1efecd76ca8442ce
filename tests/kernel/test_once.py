"""oomward once: applies and ends; --dry-run shows and writes nothing; --restore gives the node back as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel.conftest import DRIVERS, MODE, NODE, RUNTIMES, Node, make_node
from tests.lab.kubelet import MOUNT
from tests.lab.spec import Container, Instance, Pod

MAIN = (Container("main", ("pause",)),)


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), request.param, status_delay_s=0.2)
    node.api.write_kubeconfig(node.work / "kubeconfig")
    yield node
    node.close()


@pytest.fixture(scope="module")
def pods(node: Node) -> dict[str, Instance]:
    """By name: single and plain of each runtime; and one on which somebody has set 0, that asks for group."""
    found = {}
    for runtime in RUNTIMES:
        for mode in ("single", "plain"):
            labels: dict[str, str] = {MODE: "single"} if mode == "single" else {}
            (found[f"{mode}-{runtime}"],) = node.kubelet.run_pod(
                Pod(f"{mode}-{runtime}", MAIN, labels=labels, runtime=runtime)
            )
    (found["group"],) = node.kubelet.run_pod(Pod("group", MAIN, labels={MODE: "group"}))
    (MOUNT / found["group"].path / "memory.oom.group").write_text("0")
    node.kubelet.wait_for(lambda: all("containerStatuses" in pod["status"] for pod in node.api.store.pods.values()), 60)
    return found


def once(node: Node, *flags: str) -> subprocess.CompletedProcess[str]:
    return node.oomward("once", *flags)


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """By cgroup."""
    return {row["cgroup_path"]: row for row in json.loads(done.stdout)["writes"]}


def values(node: Node, pods: dict[str, Instance]) -> dict[str, str]:
    return {name: node.knob(instance.path) for name, instance in pods.items()}


BEFORE = {"single-runc": "1", "plain-runc": "1", "single-crun": "1", "plain-crun": "1", "group": "0"}
AFTER = BEFORE | {"single-runc": "0", "single-crun": "0", "group": "1"}


def test_a_dry_run_shows_what_would_be_written_and_writes_nothing(node: Node, pods: dict[str, Instance]) -> None:
    done = once(node, "--dry-run", "--output", "json")
    assert done.returncode == 0, done.stderr
    shown = rows(done)
    for name in ("single-runc", "single-crun", "group"):
        row = shown[pods[name].path]
        assert (row["pod"], row["container"], row["write_outcome"]) == (name, "main", "dry_run")
        assert (row["oom_group_before"], row["oom_group_desired"]) == (int(BEFORE[name]), int(AFTER[name]))
        assert MODE in row["why"]
    assert not {pods["plain-runc"].path, pods["plain-crun"].path} & shown.keys()
    assert values(node, pods) == BEFORE
    assert not (node.work / "state").exists(), "not even a ledger"


def test_once_applies_and_ends(node: Node, pods: dict[str, Instance]) -> None:
    done = once(node)
    assert done.returncode == 0, done.stderr
    assert "default/single-runc" in done.stdout
    assert "written" in done.stdout
    assert values(node, pods) == AFTER
    again = rows(once(node, "--output", "json"))
    assert {row["write_outcome"] for row in again.values()} == {"already"}


def test_restore_gives_the_node_back_as_it_was_and_a_second_one_has_nothing_to_do(
    node: Node, pods: dict[str, Instance]
) -> None:
    done = once(node, "--restore")
    assert done.returncode == 0, done.stderr
    assert values(node, pods) == BEFORE
    again = once(node, "--restore")
    assert (again.returncode, again.stdout) == (0, "")
    assert "nothing to restore" in again.stderr


def test_beside_a_running_agent_it_refuses_but_for_a_dry_run_and_after_it_restores_what_it_held(
    node: Node, pods: dict[str, Instance]
) -> None:
    agent = node.start_agent()
    agent.wait_for(lambda: values(node, pods) == AFTER, 60, "held")
    for flags in ((), ("--restore",)):
        done = once(node, *flags)
        assert done.returncode == 1
        assert "an oomward agent" in done.stderr
        assert done.stderr.endswith("Stop it first.\n")
    assert once(node, "--dry-run").returncode == 0
    assert values(node, pods) == AFTER
    agent.stop()
    assert values(node, pods) == AFTER, "the agent's end leaves them in force"
    assert once(node, "--restore").returncode == 0
    assert values(node, pods) == BEFORE


def test_without_the_api_it_goes_by_what_was_last_decided_and_says_so(node: Node, pods: dict[str, Instance]) -> None:
    agent = node.start_agent()
    agent.wait_for(lambda: values(node, pods) == AFTER, 60, "held")
    agent.stop()
    for instance in pods.values():
        (MOUNT / instance.path / "memory.oom.group").write_text(BEFORE[instance.pod.name])
    node.api.close()
    done = once(node)
    assert done.returncode == 1
    assert "the API is not reachable" in done.stderr
    assert values(node, pods) == AFTER
    node.api.start()


def test_check_passes_on_this_node_and_leaves_nothing_behind(node: Node, pods: dict[str, Instance]) -> None:
    node.start_agent()
    where = (
        "--node-name",
        NODE,
        "--kubeconfig",
        str(node.work / "kubeconfig"),
        "--state-dir",
        str(node.work / "state"),
    )
    command = [sys.executable, "-m", "agent", "check", *where, "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    for name in (
        "memory.oom.group",
        "kubepods roots",
        "memory controller",
        "kernel log",
        "inotify watches",
        "API",
        "ancestors",
    ):
        assert checks[name]["status"] == "pass", checks[name]
    assert not [path for path in MOUNT.iterdir() if path.name.startswith("oomward-check")]
    node.agent.stop()
