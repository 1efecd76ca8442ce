"""The patch that uninstalls: it fits the DaemonSet and the image, gives values back, and removes the ledger only after that."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.kernel.kmsg import boot_id
from agent.ledger import AgentLock, Ledger
from agent.ledger.store import FILE
from tests.unit.docs.pages import ROOT

STATE = "/var/lib/oomward"


@pytest.fixture
def patch() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "howto" / "uninstall-patch.yaml").read_text())
    return loaded


@pytest.fixture
def daemonset() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "manifests" / "base" / "daemonset.yaml").read_text())
    return loaded


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """As an agent that has ended leaves it."""
    Ledger.open(tmp_path, boot_id()).close()
    assert (tmp_path / FILE).exists()
    return tmp_path


def only(of: dict[str, Any]) -> dict[str, Any]:
    (container,) = of["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def run(program: str, state: Path) -> subprocess.CompletedProcess[str]:
    """With this Python, on this folder, and without the waiting at the end."""
    here = program.replace(STATE, str(state)).replace("signal.pause()", "")
    command = [sys.executable, "-IBc", here]
    environment = {"OOMWARD_STATE_DIR": str(state), "NODE_NAME": "n"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


def test_it_patches_the_container_that_is_there(patch: dict[str, Any], daemonset: dict[str, Any]) -> None:
    assert only(patch)["name"] == only(daemonset)["name"]
    probes = {key for key in only(daemonset) if key.endswith("Probe")}
    assert {key for key in only(patch) if key.endswith("Probe")} == probes, (
        "a probe of the agent would end the restoring"
    )
    assert STATE in {mount["mountPath"] for mount in only(daemonset)["volumeMounts"]}


def test_its_python_is_the_images_whatever_its_version(patch: dict[str, Any]) -> None:
    command, probe = only(patch)["command"], only(patch)["readinessProbe"]["exec"]["command"]
    assert command[0] == probe[0] == "python3"
    assert '"$root/usr/local/bin/python3"' in (ROOT / "scripts" / "image" / "build.sh").read_text()
    assert re.search(r"^ENV PATH=/usr/local/bin$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_when_all_is_given_back_nothing_is_left_and_the_pod_is_ready(patch: dict[str, Any], state: Path) -> None:
    (program,) = only(patch)["args"]
    done = run(program, state)
    assert done.returncode == 0, done.stderr
    assert list(state.iterdir()) == []
    assert run(only(patch)["readinessProbe"]["exec"]["command"][-1], state).returncode == 0


def test_what_could_not_be_given_back_keeps_its_ledger_and_the_pod_from_being_ready(
    patch: dict[str, Any], state: Path
) -> None:
    (program,) = only(patch)["args"]
    with AgentLock(state, "n"):  # the agent still runs
        done = run(program, state)
    assert done.returncode == 1
    assert "another oomward agent" in done.stderr
    assert (state / FILE).exists()
    assert run(only(patch)["readinessProbe"]["exec"]["command"][-1], state).returncode == 1


def test_all_nodes_are_done_at_once(patch: dict[str, Any]) -> None:
    assert patch["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == "100%"
