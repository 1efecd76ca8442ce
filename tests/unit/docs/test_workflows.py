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
RELEASE: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
MORE_PERMISSIONS = {
    "release.yml": {"publish": {"contents", "packages", "id-token"}},
    "code-scanning.yml": {"codeql": {"contents", "security-events"}},
    "updates.yml": {"locks": {"contents", "pull-requests"}},
}
NIGHTLY: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_action_is_pinned_by_commit_and_its_version_stands_beside_it(file: Path) -> None:
    used = re.findall(r"uses: (.*)", file.read_text())
    assert used
    for line in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+(?:/[\w-]+)?@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_only_the_jobs_that_publish_may_write_and_none_runs_for_ever(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())
    more = {name: set(job["permissions"]) for name, job in workflow["jobs"].items() if "permissions" in job}
    assert more == MORE_PERMISSIONS.get(file.name, {})
    checkouts = [step for step in steps(workflow) if str(step.get("uses", "")).startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_make_target_that_is_run_exists(file: Path) -> None:
    rules = set(re.findall(r"^([\w.-]+|\$\(VENV\)/ready):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    run = re.findall(
        r"\bmake ([\w./-]+)", " ".join(str(step.get("run", "")) for step in steps(yaml.safe_load(file.read_text())))
    )
    assert run or file.name == "code-scanning.yml"
    assert {target.replace(".venv/", "$(VENV)/") for target in run} <= rules


def test_every_change_runs_what_everybody_runs_and_each_night_runs_everything() -> None:
    assert {"run": "bash .ci/run"} in CI["jobs"]["test"]["steps"]
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
    assert {"run": "make test TESTS=all"} in NIGHTLY["jobs"]["all"]["steps"]
    made = run_by_nightly()
    assert {"mutants", "soak", "fuzz", "e2e", "distributions", "kernel", "demo", "release-dry-run"} <= made
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


def test_a_release_runs_on_the_clusters_that_each_night_does() -> None:
    assert RELEASE["jobs"]["cluster"]["strategy"]["matrix"] == NIGHTLY["jobs"]["e2e"]["strategy"]["matrix"]


def test_nothing_is_published_before_everything_passed_and_nothing_is_built_after_its_test() -> None:
    jobs = RELEASE["jobs"]
    assert set(jobs["publish"]["needs"]) == {"test", "image", "cluster"}
    assert (jobs["test"]["needs"], jobs["image"]["needs"], jobs["cluster"]["needs"]) == ("version", "version", "image")
    run = {name: " ".join(str(step.get("run", "")) for step in job["steps"]) for name, job in jobs.items()}
    assert [name for name, text in run.items() if "make image" in text] == ["image"]
    assert [name for name, text in run.items() if "publish.sh" in text or "docker login" in text] == ["publish"]
    assert "make test TESTS=all" in run["test"]
    assert "--provenance=mode=max --sbom=true" in run["image"]
    assert "SIGN=yes" in run["publish"]
    used = [step["uses"].partition("@")[0] for step in jobs["image"]["steps"] if "uses" in step]
    assert "anchore/scan-action" in used


def test_no_workflow_publishes_a_wheel_and_pypi_would_refuse_it() -> None:
    assert not [file.name for file in FILES if re.search(r"pypi|twine|uv publish", file.read_text(), re.IGNORECASE)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "Private :: Do Not Upload" in project["classifiers"]


def test_no_text_of_an_event_reaches_a_shell_as_code() -> None:
    """An expression in a script is pasted into it; in the environment it is a value."""
    for file in FILES:
        for step in steps(yaml.safe_load(file.read_text())):
            pasted = re.findall(r"\$\{\{ *([\w.]+)", str(step.get("run", "")))
            assert [one for one in pasted if not one.startswith("matrix.")] == [], file.name


def test_every_script_of_a_workflow_exists() -> None:
    for file in FILES:
        for script in re.findall(r"\b(scripts/[\w/.-]+\.(?:sh|py))\b", file.read_text()):
            assert (ROOT / script).is_file(), f"{file.name}: {script}"


def test_dependencies_of_the_image_and_of_workflows_are_updated_each_week() -> None:
    dependabot = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())
    assert {one["package-ecosystem"] for one in dependabot["updates"]} == {"github-actions", "docker"}
    updates = yaml.safe_load((ROOT / ".github" / "workflows" / "updates.yml").read_text())
    assert {"run": "make lock"} in updates["jobs"]["locks"]["steps"]
