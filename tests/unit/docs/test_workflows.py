"""The workflows: they do what `make` does, on what is supported, with actions that nobody can change under us."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.image.dockerfile import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CI: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
NIGHTLY: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_action_is_pinned_by_commit_and_its_version_stands_beside_it(file: Path) -> None:
    used = re.findall(r"uses: (.*)", file.read_text())
    assert used
    for line in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_job_may_write_to_the_repository_or_run_for_ever(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"]["contents"] == "read"
    assert all("permissions" not in job and job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())
    checkouts = [step for step in steps(workflow) if str(step.get("uses", "")).startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_make_target_that_is_run_exists(file: Path) -> None:
    rules = set(re.findall(r"^([\w.-]+|\$\(VENV\)/ready):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    run = re.findall(
        r"\bmake ([\w./-]+)", " ".join(str(step.get("run", "")) for step in steps(yaml.safe_load(file.read_text())))
    )
    assert run
    assert {target.replace(".venv/", "$(VENV)/") for target in run} <= rules


def test_every_change_runs_what_everybody_runs_and_each_night_runs_everything() -> None:
    assert {"run": "bash .ci/run"} in CI["jobs"]["test"]["steps"]
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
    assert {"run": "make test TESTS=all"} in NIGHTLY["jobs"]["all"]["steps"]
    made = run_by_nightly()
    assert {"mutants", "soak", "fuzz", "e2e", "distributions", "kernel", "demo"} <= made
    assert {"lint", "unit", "alerts", "image-test", "kernel"} <= targets("test-quick")
    assert targets("test-quick") | {"lowest", "manifests", "fuzz-short", "locks"} <= targets("test-all")


def targets(of: str) -> set[str]:
    """What the recipe of a target makes."""
    recipe = re.search(rf"^{of}:[^=\n]*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    made = [line for line in recipe[1].splitlines() if "$(MAKE)" in line]
    return {
        word for line in made for word in line.split() if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")
    }


def run_by_nightly() -> set[str]:
    return set(re.findall(r"\bmake ([\w-]+)", " ".join(str(step.get("run", "")) for step in steps(NIGHTLY))))


def test_every_supported_python_has_its_night() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    supported = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert NIGHTLY["jobs"]["all"]["strategy"]["matrix"]["python"] == supported


def test_the_end_to_end_run_is_on_the_oldest_and_the_newest_supported_kubernetes_with_both_profiles() -> None:
    matrix = NIGHTLY["jobs"]["e2e"]["strategy"]["matrix"]
    nodes = [re.fullmatch(r"kindest/node:v1\.(\d+)\.\d+@sha256:[0-9a-f]{64}", row["node"]) for row in matrix["cluster"]]
    assert all(nodes)
    supported = re.search(
        r"^\| 1\.(\d+) to 1\.(\d+) \|", (ROOT / "docs" / "support-matrix.md").read_text(), re.MULTILINE
    )
    assert supported is not None
    assert [node[1] for node in nodes if node] == [supported[1], supported[2]]
    assert matrix["profile"] == ["full", "least-privilege"]
