"""The workflows: they do what `make` does, on what is supported, with actions that nobody can change under us."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.image.dockerfile import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CI: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())


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


def test_all_tests_run_as_anybody_runs_them() -> None:
    """``make test`` of a developer leaves out the longer ones; CI leaves out none."""
    assert {"run": "bash .ci/run"} in CI["jobs"]["test"]["steps"]
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test TESTS=all"
    makefile = (ROOT / "Makefile").read_text()
    of_all = re.search(r"^test-all:\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert of_all is not None
    assert {"lint", "unit", "lowest", "alerts", "manifests", "image-test", "fuzz-short", "kernel"} <= set(
        of_all[1].split()
    )


def test_both_architectures_are_built_without_emulation() -> None:
    built = {row["arch"]: row["runner"] for row in CI["jobs"]["image"]["strategy"]["matrix"]["include"]}
    assert set(built) == {"amd64", "arm64"}
    assert built["arm64"].endswith("-arm")


def test_the_end_to_end_run_is_on_the_oldest_and_the_newest_supported_kubernetes_with_both_profiles() -> None:
    matrix = CI["jobs"]["e2e"]["strategy"]["matrix"]
    nodes = [re.fullmatch(r"kindest/node:v1\.(\d+)\.\d+@sha256:[0-9a-f]{64}", row["node"]) for row in matrix["cluster"]]
    assert all(nodes)
    supported = re.search(
        r"^\| 1\.(\d+) to 1\.(\d+) \|", (ROOT / "docs" / "support-matrix.md").read_text(), re.MULTILINE
    )
    assert supported is not None
    assert [node[1] for node in nodes if node] == [supported[1], supported[2]]
    assert matrix["profile"] == ["full", "least-privilege"]
