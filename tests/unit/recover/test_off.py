"""With recovery off, which is the default, nothing changes: no manifest has anything of it, and the agent loads nothing of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.objects import BASE, CHART, COMPONENTS, ROOT

OURS = re.compile(r"recover|defaults\.oomward\.dev", re.IGNORECASE)
OWN = {component.name for component in COMPONENTS if component.name.startswith("recover")} | {"defaults"}
OPENS = re.compile(r"\{\{-? *(if|range|with|define)\b")
ENDS = re.compile(r"\{\{-? *end\b")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_base_has_nothing_of_recovery() -> None:
    assert [path.name for path in files(BASE) if OURS.search(path.read_text())] == []


@pytest.mark.parametrize("component", [one for one in COMPONENTS if one.name not in OWN], ids=lambda path: path.name)
def test_a_component_for_the_agent_has_nothing_of_recovery_but_an_alert_that_needs_its_metric(component: Path) -> None:
    for path in files(component):
        if path.name == "prometheusrule.yaml":
            groups = yaml.safe_load(path.read_text())["spec"]["groups"]
            ours = [rule for group in groups for rule in group["rules"] if OURS.search(str(rule))]
            assert all("oomward_recovery_" in rule["expr"] and "absent" not in rule["expr"] for rule in ours)
        elif path.name != "kustomization.yaml":
            assert not OURS.search(path.read_text()), path


def test_the_chart_is_off_by_default_and_all_of_it_is_behind_its_switch() -> None:
    values: Any = yaml.safe_load((CHART / "values.yaml").read_text())
    assert (values["recover"]["enabled"], values["recover"]["actions"], values["defaults"]["enabled"]) == (
        False,
        [],
        False,
    )
    for path in files(CHART / "templates"):
        if path.name != "_helpers.tpl":
            outside = "\n".join(_outside(path.read_text()))
            assert not OURS.search(outside) or path.name == "NOTES.txt", path


def _outside(text: str) -> list[str]:
    """Lines that are rendered whatever the two switches are."""
    found, depth, ours = [], 0, 0
    for line in text.splitlines():
        opens, ends = len(OPENS.findall(line)), len(ENDS.findall(line))
        if not ours and re.search(
            r"\{\{-? *if (and \.Values\.enabled )?\.Values\.(recover|defaults)\.enabled *-?\}\}", line
        ):
            ours = depth + 1
        if not ours:
            found.append(line)
        depth += opens - ends
        if ours and depth < ours:
            ours = 0
    return found


def test_the_agents_rights_are_what_they_were() -> None:
    """The controller has an account of its own."""
    (role,) = [path for path in files(BASE) if path.name == "clusterrole.yaml"]
    rights = {
        (resource, verb)
        for rule in yaml.safe_load(role.read_text())["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert not {one for one in rights if one[1] in ("patch", "update", "delete") and one[0] != "events"}
    assert not {resource for resource, _ in rights} & {
        "leases",
        "configmaps",
        "pods/eviction",
        "pods/resize",
        "secrets",
    }


@pytest.mark.parametrize("module", ["agent.run", "agent.commands.explain", "agent.commands.check", "agent.loop"])
def test_the_agent_and_its_commands_load_nothing_of_recovery(module: str) -> None:
    code = f"import sys, {module}; print([name for name in sys.modules if 'recover' in name])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"


def test_no_module_of_the_agent_imports_the_controller() -> None:
    for path in files(ROOT / "agent"):
        parts = path.relative_to(ROOT / "agent").parts
        if path.suffix == ".py" and parts[0] != "recover" and parts[-2:] != ("commands", "recover.py"):
            text = path.read_text()
            allowed = parts[-1] == "cli.py"
            assert allowed or not re.search(r"(from|import) agent\.(recover|commands\.recover)", text), path
