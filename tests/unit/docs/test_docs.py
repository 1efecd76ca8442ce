"""What the documents say exists: links lead somewhere, commands and their flags are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.commands.parsers import choices_of, parser
from agent.settings import SETTINGS
from tests.unit.docs.pages import PAGES, ROOT, anchors, code, names

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
MAKE = re.compile(r"(?:^|[;&(] *)make ([a-z][a-z-]*)\b")
COMMAND = re.compile(r"(?:^|-- |[;&|(] *|\$ |\w=\S+ |/bin/)(?:oomward|agent) ([a-z][a-z-]*)([^|;&#)]*)")
COMMANDS = choices_of(parser())
GUIDES = [page for page in PAGES if "howto" in page.parts or "explanation" in page.parts or page.parent.name == "docs"]


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    broken = []
    for file, anchor in LINK.findall(page.read_text()):
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{file}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {target for line in code(page) for target in MAKE.findall(line)} <= targets


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_command_that_is_named_exists_with_its_flags(page: Path) -> None:
    """``agent`` is the shell function of the runbooks."""
    wrong = []
    for name, rest in (found for line in code(page) for found in COMMAND.findall(line)):
        known = set(COMMANDS[name]._option_string_actions) if name in COMMANDS else set()
        wrong += [] if name in COMMANDS else [name]
        wrong += [f"{name} {flag}" for flag in re.findall(r"(?<!\S)\[?(--[a-z-]+)", rest) if flag not in known]
    assert wrong == []


def test_every_flag_of_every_command_is_in_a_reference() -> None:
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    settings = {setting.flag for setting in SETTINGS}
    for name, command in COMMANDS.items():
        own = {flag for flag in command._option_string_actions if flag.startswith("--")} - settings - {"--help"}
        assert {flag for flag in own if flag not in text} == set(), name


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_line_of_shell_can_be_read_by_one(page: Path) -> None:
    for text in re.findall(r"^ *```sh\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL):
        shlex.split(text, comments=True)


@pytest.mark.parametrize("page", GUIDES, ids=names)
def test_every_page_is_in_the_index(page: Path) -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / file).resolve() for file, _ in LINK.findall(index.read_text())}
    assert page == index or page.resolve() in linked


def test_every_make_target_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (help .*)$", text, re.MULTILINE)
    assert phony is not None
    documented = set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", text, re.MULTILINE))
    assert set(phony[1].split()) == documented


def test_every_setting_is_a_flag_of_run() -> None:
    help_text = COMMANDS["run"].format_help()
    for setting in SETTINGS:
        assert setting.flag in help_text


def test_every_command_is_in_its_reference_and_no_other() -> None:
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    named = set(re.findall(r"`oomward ([a-z-]+)", text))
    assert named == set(COMMANDS)


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
