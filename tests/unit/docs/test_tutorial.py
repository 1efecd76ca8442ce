"""The tutorial's own changes of its pod, applied to the file that it applies."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
import yaml

from tests.lab import apijsonpatch
from tests.unit.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "tutorial.md"


@pytest.fixture
def herder() -> Any:
    return yaml.safe_load((ROOT / "manifests" / "examples" / "herder.yaml").read_text())


@pytest.fixture
def patch() -> Any:
    """Of ``kubectl patch deployment herder --type json --patch …``."""
    (block,) = (block for block in blocks(PAGE, "sh") if block.startswith("kubectl patch deployment herder"))
    words = shlex.split(block, comments=True)
    assert words[words.index("--type") + 1] == "json"
    return json.loads(words[words.index("--patch") + 1])


def test_the_label_is_removed_from_the_template(herder: Any, patch: Any) -> None:
    patched = apijsonpatch.apply(herder, patch)
    assert patched["spec"]["template"]["metadata"]["labels"] == {"app": "herder"}


def test_the_new_pod_finds_a_place_on_the_only_node_of_kind(herder: Any, patch: Any) -> None:
    """At most one of its pods is on a node, so a rolling update would wait forever: the old pod has to go first."""
    pod = herder["spec"]["template"]["spec"]
    assert pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apijsonpatch.apply(herder, patch)["spec"]["strategy"] == {"type": "Recreate"}
