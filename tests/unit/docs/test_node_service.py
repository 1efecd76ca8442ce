"""oomward as a service of a node: systemd takes the unit, which has the mounts, rights and limits that the DaemonSet has."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from agent.settings import SETTINGS
from tests.unit.docs.pages import ROOT

UNIT = ROOT / "manifests" / "systemd" / "oomward.service"
PAGE = ROOT / "docs" / "howto" / "node-service.md"


def of(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    """The program itself is not installed here: another one has its place."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.fail("systemd-analyze is missing: apt-get install systemd")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/oomward/bin/oomward", "/bin/true"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    about = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, about) == (0, [])


def test_its_limit_and_priority_are_the_daemonset_s() -> None:
    daemonset = yaml.safe_load((ROOT / "manifests" / "base" / "daemonset.yaml").read_text())
    (agent,) = daemonset["spec"]["template"]["spec"]["containers"]
    assert of("MemoryMax") == [agent["resources"]["limits"]["memory"].removesuffix("i")]
    assert of("ExecStart") == [f"/opt/oomward/bin/oomward {agent['args'][0]}"]
    assert of("OOMScoreAdjust") == ["-997"], "the kubelet's value for system-node-critical pods"


def test_its_capabilities_are_those_that_are_explained() -> None:
    (text,) = of("CapabilityBoundingSet")
    explained = set(re.findall(r"capability `([A-Z_]+)`", (ROOT / "docs" / "security.md").read_text()))
    assert explained <= {one.removeprefix("CAP_") for one in text.split()}
    assert of("DeviceAllow") == ["/dev/kmsg r"]


def test_its_variables_and_folders_are_the_agent_s() -> None:
    names = {line.partition("=")[0] for line in of("Environment")}
    assert names <= {setting.variable for setting in SETTINGS}
    (state,) = [setting.default for setting in SETTINGS if setting.name == "state_dir"]
    assert [f"/var/lib/{name}" for name in of("StateDirectory")] == [state]


def test_the_guide_installs_where_the_unit_looks() -> None:
    text = PAGE.read_text()
    assert "python3 -m venv /opt/oomward" in text
    assert str(UNIT.relative_to(ROOT)) in text
    assert "pip install oomward" not in text, "PyPI has no oomward of ours"
    for lock in re.findall(r"requirements/\S+\.lock", text):
        assert (ROOT / lock).is_file()
    config = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert config is not None
    assert yaml.safe_load(config[1]).keys() <= {setting.key for setting in SETTINGS} | {"rules"}
