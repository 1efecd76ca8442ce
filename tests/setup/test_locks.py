"""The lock files on another day: a package index with newer releases of ten locked packages, and several releases of pip.

Real pip, real files; only the index is made here. Debian 12 has pip 23.0.1, Python 3.11 brings 23.2.1, and the newest is what the usual
index has today.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.setup.index import A_YEAR_LATER, NEWER, locked, make_index

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKS = ("test", "demo", "run", "build")
OLDEST = "23.0.1"
PIPS = (OLDEST, "23.2.1", "newest")
FOLDER = ROOT / "build" / "setup"


@pytest.fixture(scope="session")
def index() -> Path:
    extra = ["pip" if pip == "newest" else f"pip=={pip}" for pip in PIPS]
    return make_index(FOLDER, [REQUIREMENTS / f"{name}.lock" for name in LOCKS], extra)


@pytest.fixture(params=PIPS)
def python(request: pytest.FixtureRequest, index: Path, tmp_path: Path) -> Path:
    """An empty environment with that pip."""
    return environment(tmp_path / "venv", request.param)


def environment(folder: Path, pip: str) -> Path:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    wheels = sorted((FOLDER / "files").glob(f"pip-{'*' if pip == 'newest' else pip}-py3-none-any.whl"), key=release)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-index", "--upgrade", wheels[-1]], check=True)
    return python


def release(wheel: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in wheel.name.split("-")[1].split("."))


def only(index: Path) -> dict[str, str]:
    """This environment, with that index and no other. Compiling what is installed shows nothing here."""
    mine = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    return mine | {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index.as_uri(), "PIP_NO_COMPILE": "1"}


def install(python: Path, lock: str, index: Path) -> None:
    script = ROOT / "scripts" / "install-lock.sh"
    subprocess.run(["bash", script, python, REQUIREMENTS / f"{lock}.lock"], check=True, env=only(index))


def installed(python: Path) -> dict[str, str]:
    done = subprocess.run([python, "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True)
    found = {row["name"].lower().replace("_", "-").replace(".", "-"): row["version"] for row in json.loads(done.stdout)}
    return {name: version for name, version in found.items() if name not in {"pip", "setuptools"}}


def test_exactly_what_is_locked_is_installed_whatever_has_been_released_since(python: Path, index: Path) -> None:
    holds(python, index, "test")


def test_the_demo_needs_no_more_than_its_own_lock_file(index: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", OLDEST)
    holds(python, index, "demo")
    linters = {"hypothesis", "import-linter", "mypy", "pre-commit", "pytest", "ruff", "uv"}
    assert not linters & set(installed(python))


def holds(python: Path, index: Path, lock: str) -> None:
    """This lock file installs, and what is there then is what it lists, of each package that this machine needs."""
    install(python, lock, index)
    found = installed(python)
    assert found.items() <= locked(REQUIREMENTS / f"{lock}.lock").items()
    assert A_YEAR_LATER not in found.values()
    subprocess.run([python, "-m", "pip", "check"], check=True)


def test_ten_of_the_locked_packages_have_a_newer_release_there(index: Path) -> None:
    names = locked(REQUIREMENTS / "test.lock")
    for name in NEWER:
        assert name in names
        assert A_YEAR_LATER in (index / name / "index.html").read_text()
    assert len(NEWER) == 10


def test_with_dependency_resolution_the_oldest_pip_would_stop_at_such_an_index(index: Path, tmp_path: Path) -> None:
    """So that this index is known to be one at which the fault shows: scripts/install-lock.sh says why."""
    python = environment(tmp_path / "venv", OLDEST)
    lock = str(REQUIREMENTS / "test.lock")
    command = [str(python), "-m", "pip", "install", "--dry-run", "--require-hashes", "--requirement", lock]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=only(index))
    assert done.returncode != 0
    assert "coverage" in done.stderr
