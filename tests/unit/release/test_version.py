"""One version: a tag is released only if code, manifests, chart, docs and changelog all say it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent import __version__
from tests.unit.docs.pages import ROOT
from tests.unit.release.scripts import script

version = script("version")
COPIED = ("agent/__init__.py", "Dockerfile", "CHANGELOG.md", "README.md", "RELEASE.md", "manifests", "docs/reference")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """This tree, with a changelog that has its version."""
    for name in COPIED:
        to = tmp_path / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / name, to) if (ROOT / name).is_dir() else shutil.copyfile(ROOT / name, to)
    log = tmp_path / "CHANGELOG.md"
    log.write_text(
        f"# Changelog\n\n## [Unreleased]\n\n## [{__version__}] - 2026-01-01\n\nFirst.\n\n## [0.0.1]\n\nOld.\n"
    )
    return tmp_path


def test_this_tree_has_one_version_everywhere() -> None:
    assert list(version.stale(__version__)) == []


def test_a_tag_of_a_tree_that_is_ready_has_no_problem(tree: Path) -> None:
    assert list(version.problems(f"v{__version__}", tree)) == []


def test_another_tag_is_refused(tree: Path) -> None:
    (problem,) = version.problems("v9.9.9", tree)
    assert "the tag is v9.9.9" in problem


def test_a_version_without_a_section_in_the_changelog_is_refused(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    assert list(version.problems(f"v{__version__}", tree)) == [f"CHANGELOG.md has no section [{__version__}]"]


def test_a_new_version_is_written_wherever_the_old_one_stands(tree: Path) -> None:
    (tree / "agent" / "__init__.py").write_text('__version__ = "1.2.3-rc.1"\n')
    written = {file.relative_to(tree).as_posix() for file, _ in version.stale("1.2.3-rc.1", tree)}
    assert written >= {
        "Dockerfile",
        "RELEASE.md",
        "manifests/base/daemonset.yaml",
        "manifests/components/oom-policy/daemonset.yaml",
        "manifests/chart/Chart.yaml",
        "manifests/chart/README.md",
        "docs/reference/manifests.md",
    }
    for file, text in version.stale("1.2.3-rc.1", tree):
        file.write_text(text)
    assert list(version.stale("1.2.3-rc.1", tree)) == []
    chart = (tree / "manifests" / "chart" / "Chart.yaml").read_text()
    assert "\nversion: 1.2.3-rc.1\nappVersion: 1.2.3-rc.1\n" in chart
    assert "oomward/oomward:1.2.3-rc.1\n" in chart
    assert 'kubeVersion: ">=1.25.0-0"' in chart, "not oomward's version"


def test_the_notes_are_the_changelog_s_section(tree: Path) -> None:
    assert version.notes(__version__, tree) == "First."
