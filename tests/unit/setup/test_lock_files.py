"""The lock files are complete: pip resolves nothing, so what one of them lacks would be missing when it is installed.

What each package requires is read from this environment's own metadata; for each supported Python its markers decide.
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from functools import cache
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.docs.pages import ROOT

PYTHONS = ("3.11", "3.12", "3.13")
LOCKS = {"test": ("test",), "run": (), "demo": ("editable",), "build": ("build",)}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


@cache
def lines(lock: str) -> tuple[Requirement, ...]:
    """Each locked package with its marker."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    return tuple(Requirement(line) for line in re.findall(r"^(\w\S*==.*?) \\$", text, re.MULTILINE))


def applies(requirement: Requirement, python: str, extra: str = "") -> bool:
    environment: dict[str, Any] = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.5",
    }
    return requirement.marker is None or requirement.marker.evaluate(environment | {"extra": extra})


def wanted(groups: tuple[str, ...]) -> list[Requirement]:
    """What pyproject.toml asks for: the project's dependencies, unless it is only to be built, and these groups."""
    found = [] if groups == ("build",) else [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    for group in groups:
        for item in PROJECT["dependency-groups"][group]:
            found += wanted_of_group(item)
    return found


def wanted_of_group(item: str | dict[str, str]) -> list[Requirement]:
    if isinstance(item, str):
        return [Requirement(item)]
    return [each for inner in PROJECT["dependency-groups"][item["include-group"]] for each in wanted_of_group(inner)]


def requirements_of(name: str, extras: set[str], python: str) -> list[Requirement]:
    texts = importlib.metadata.requires(name) or []
    found = [Requirement(text) for text in texts]
    return [each for each in found if any(applies(each, python, extra) for extra in ("", *extras))]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_whatever_a_locked_package_requires_is_locked_as_well(lock: str, python: str) -> None:
    """Followed from what the project asks for, so that nothing is there without a reason either."""
    here = {canonicalize_name(each.name): each for each in lines(lock) if applies(each, python)}
    seen: set[tuple[str, frozenset[str]]] = set()
    open_ = wanted(LOCKS[lock])
    while open_:
        requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        if not applies(requirement, python) or (key := (name, frozenset(requirement.extras))) in seen:
            continue
        seen.add(key)
        assert name in here, f"{lock}.lock has no {requirement} for Python {python}"
        (version,) = here[name].specifier
        assert requirement.specifier.contains(version.version, prereleases=True), f"{here[name]} is not {requirement}"
        open_ += [
            Requirement(str(each).partition(";")[0]) for each in requirements_of(name, requirement.extras, python)
        ]
    assert {name for name, _ in seen} == set(here)


def test_a_package_has_one_version_in_all_lock_files() -> None:
    """What is tested is what runs in the image and in the demo. Only the oldest versions are others, as they should be."""
    versions: dict[tuple[str, str], set[str]] = {}
    files = [file.stem for file in (ROOT / "requirements").glob("*.lock") if file.stem != "lowest"]
    assert set(LOCKS) < set(files)
    for python in PYTHONS:
        for each in (line for file in files for line in lines(file) if applies(line, python)):
            versions.setdefault((each.name, python), set()).add(str(each.specifier))
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_pip_is_given_no_chance_to_resolve_anything() -> None:
    """Wherever a lock file is installed: for an environment, and for the image."""
    for script in ("install-lock.sh", "image/install.sh", "image/build.sh"):
        (command,) = re.findall(
            r"-m pip install[^\n]*(?:\\\n[^\n]*)*--require-hashes[^\n]*", (ROOT / "scripts" / script).read_text()
        )
        assert {"--no-deps", ":all:"} <= set(command.split())
    assert "--require-hashes" not in (ROOT / "scripts" / "setup-venv.sh").read_text()
