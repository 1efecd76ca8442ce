"""The kubectl plugin: one file that any Python from 3.11 on runs, the same bytes each time, nothing compiled in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from agent import __version__
from tests.unit.docs.pages import ROOT
from tests.unit.release.scripts import script

plugin = script("plugin")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The part of the image with oomward, and a compiled module beside it."""
    root = tmp_path_factory.mktemp("tree")
    packages = root / "usr/lib/python3/site-packages"
    shutil.copytree(ROOT / "agent", packages / "agent")
    (packages / "compiled.so").write_bytes(b"\x7fELF")
    return root


@pytest.fixture(scope="module")
def built(tree: Path) -> Path:
    out = tree.parent / "kubectl-oomward"
    plugin.build(tree, out)
    return out


def test_it_runs_as_a_program(built: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(built), "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, f"oomward {__version__}\n"), done.stderr
    assert built.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    assert built.stat().st_mode & 0o111


def test_what_is_compiled_for_one_platform_is_not_in_it(built: Path) -> None:
    names = zipfile.ZipFile(built).namelist()
    assert "agent/cli.py" in names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_same_tree_gives_the_same_bytes(tree: Path, built: Path, tmp_path: Path) -> None:
    plugin.build(tree, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == built.read_bytes()


def test_an_older_python_is_told_what_it_needs_before_anything_is_imported(built: Path) -> None:
    main = zipfile.ZipFile(built).read("__main__.py").decode()
    least = tuple(
        int(part)
        for part in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"][2:].split(".")
    )
    assert main.index(f"sys.version_info < {least}") < main.index("from agent")
    compile(main, "__main__.py", "exec")


def test_a_folder_without_oomward_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run `make image-here`"):
        plugin.build(tmp_path, tmp_path / "out")
