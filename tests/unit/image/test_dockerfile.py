"""The Dockerfile: pinned, staged, nothing in its last stage but what runs. A real build of it: `make image-tree`."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch

import pytest

from agent import __version__
from tests.unit.image.dockerfile import ROOT, exec_form, labels, parse

FILE = parse((ROOT / "Dockerfile").read_text())
BUILD, LAST = FILE.stages
IGNORE = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


def sources() -> list[str]:
    """What COPY takes of the repository."""
    return [word for rest in BUILD.all("COPY") for word in rest.split()[:-1]]


def test_the_base_is_the_slim_image_of_python_3_13_by_its_digest_and_can_be_another() -> None:
    pinned = r"docker\.io/library/python:3\.13-slim@sha256:[0-9a-f]{64}"
    assert re.fullmatch(pinned, FILE.arguments["PYTHON_IMAGE"])
    assert BUILD.base == "${PYTHON_IMAGE}"


def test_the_last_stage_begins_empty_and_runs_nothing_while_it_is_made() -> None:
    """So there is no shell, no package manager, no pip and no compiler that something has to be taken away again."""
    assert LAST.base == "scratch"
    assert LAST.all("COPY") == ["--from=build /image/ /"]
    assert LAST.all("RUN") == LAST.all("ADD") == []


def test_the_entrypoint_is_oomward_as_root_on_the_path_and_the_kubelet_does_the_probing() -> None:
    (entrypoint,) = LAST.all("ENTRYPOINT")
    assert exec_form(entrypoint) == ["oomward"]
    assert LAST.all("USER") == ["0:0"]
    assert LAST.all("ENV") == ["PATH=/usr/local/bin"]
    assert LAST.all("HEALTHCHECK") == LAST.all("CMD") == LAST.all("VOLUME") == []


def test_it_is_labelled_as_open_containers_say() -> None:
    found = labels(LAST)
    for key in ("title", "description", "licenses", "source", "version", "revision", "created", "base.name"):
        assert found[f"org.opencontainers.image.{key}"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found["org.opencontainers.image.licenses"] == project["license"]
    assert found["org.opencontainers.image.description"] == project["description"]
    assert f"VERSION={__version__}" in LAST.all("ARG")


def test_nothing_depends_on_the_platform() -> None:
    text = (ROOT / "Dockerfile").read_text() + "".join(
        path.read_text() for path in (ROOT / "scripts/image").iterdir() if path.is_file()
    )
    assert re.findall(r"--platform=|TARGETARCH|x86_64-linux|aarch64-linux|dpkg --print-architecture", text) == []


@pytest.mark.parametrize("source", sources())
def test_what_is_copied_is_there_and_not_kept_from_the_builder(source: str) -> None:
    assert (ROOT / source).exists()
    assert any(source == line[1:] or source.startswith(f"{line[1:]}/") for line in IGNORE if line.startswith("!"))


def test_nothing_else_goes_to_the_builder() -> None:
    assert IGNORE[0] == "*"
    assert {line[1:] for line in IGNORE if line.startswith("!")} <= set(sources())
    assert any(fnmatch("agent/__pycache__", line) for line in IGNORE)


@pytest.mark.parametrize("command", BUILD.all("RUN"))
def test_each_step_is_a_script_that_is_there_with_the_same_tree(command: str) -> None:
    shell, script, python, tree = command.split()
    assert (shell, python, tree) == ("bash", "python3", "/image")
    assert (ROOT / script).exists()


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts/image").glob("*.sh")))
def test_pip_installs_wheels_by_their_hashes_and_nothing_else(script: str) -> None:
    text = (ROOT / "scripts/image" / script).read_text().replace("\\\n", " ")
    for line in re.findall(r"-m pip install (.*)", text):
        assert "--no-deps" in line
        assert "--no-index" in line or {"--require-hashes", "--only-binary"} <= set(line.split())
