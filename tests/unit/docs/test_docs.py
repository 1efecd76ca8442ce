"""What the documents say exists: links lead somewhere, commands are there, settings and Events are the code's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.cli import parser
from agent.settings import SETTINGS

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)\b")


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = " ".join(re.findall(r"`(make [^`]+)`", page.read_text()))
    assert set(MAKE.findall(code)) <= targets


def test_every_make_target_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (help .*)$", text, re.MULTILINE)
    assert phony is not None
    documented = set(re.findall(r"^([a-z][a-z-]*):.*## ", text, re.MULTILINE))
    assert set(phony[1].split()) == documented


def test_every_setting_is_a_flag_of_run() -> None:
    help_text = parser()._subparsers._group_actions[0].choices["run"].format_help()  # type: ignore[union-attr,index]
    for setting in SETTINGS:
        assert setting.flag in help_text


def test_every_command_is_in_its_reference_and_no_other() -> None:
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    named = set(re.findall(r"`oomward ([a-z]+)", text))
    assert named == set(parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr,arg-type]


def test_the_herder_example_is_the_challenge_as_it_was_set() -> None:
    herder: dict[str, Any] = yaml.safe_load((ROOT / "manifests" / "examples" / "herder.yaml").read_text())
    assert (herder["kind"], herder["metadata"]["name"], herder["metadata"]["namespace"]) == (
        "Deployment",
        "herder",
        "default",
    )
    template = herder["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["image"] == "ghcr.io/iximiuz/labs/resource-hog/herder:v1.0.0"
    assert container["resources"]["limits"] == {"cpu": "250m", "memory": "256Mi"}
    assert template["metadata"]["labels"]["oomward.dev/mode"] == "single"
    (spread,) = template["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    (anti,) = template["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert anti["topologyKey"] == "kubernetes.io/hostname"


def test_the_lower_bounds_are_what_the_oldest_lock_file_has() -> None:
    """So `make lowest` tests exactly what pyproject.toml promises."""
    project = (ROOT / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("]")[0]
    bounds = dict(re.findall(r'"([a-z-]+)>=([0-9.]+)', project))
    locked = dict(
        re.findall(r"^([a-z-]+)==([0-9.]+)", (ROOT / "requirements" / "lowest.lock").read_text(), re.MULTILINE)
    )
    assert bounds
    assert {name: locked[name] for name in bounds} == bounds
