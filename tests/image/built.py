"""The image as a builder made it of the Dockerfile (`make image-tree`): its configuration, beside the tree that test_tree.py looks at."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent import __version__
from tests.lab.agent_container import TREE


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The OCI image's configuration."""
    found: dict[str, Any] = json.loads((TREE.parent / "config.json").read_text())["OCIv1"]
    return found


def test_it_runs_oomward_as_root_and_finds_it(config: dict[str, Any]) -> None:
    inside = config["config"]
    assert inside["Entrypoint"] == ["oomward"]
    assert "Cmd" not in inside
    assert inside["Env"] == ["PATH=/usr/local/bin"]
    assert inside["User"] == "0:0"
    assert inside["ExposedPorts"] == {"9797/tcp": {}}


def test_it_carries_its_labels_with_what_it_was_built_from(config: dict[str, Any]) -> None:
    labels = config["config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.title"] == "oomward"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.base.name"] == "localhost/clean-python"


def test_it_has_one_layer_and_nothing_of_the_stage_that_built_it(config: dict[str, Any]) -> None:
    """Whatever is in a layer is in the image, though a later one hide it."""
    assert len(config["rootfs"]["diff_ids"]) == 1
    assert not (TREE / "src").exists()


def test_its_interpreter_is_the_bases_own() -> None:
    assert (TREE / "usr/local/bin/oomward").read_text().startswith("#!/usr/bin/python3.11 -IB\n")
    assert (TREE / "var/lib/dpkg/status.d/python3.11-minimal").exists()
