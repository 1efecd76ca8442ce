"""How `make manifests` compares what kustomize and Helm render; with the tools themselves it runs in CI."""

from __future__ import annotations

import pytest

from tests.manifests import run
from tests.manifests.objects import ROOT, differences

ONE = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "n", "labels": {}},
    "data": {"k": "v"},
}


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({**ONE, "data": {"k": "w"}}, "ConfigMap n/a .data .k: 'v' and 'w'"),
        ({**ONE, "data": {"k": "v", "l": "x"}}, "ConfigMap n/a .data .l: nothing and 'x'"),
        ({**ONE, "data": {"k": ["v"]}}, "ConfigMap n/a .data .k: 'v' and ['v']"),
        ({**ONE, "immutable": 1}, "ConfigMap n/a .immutable: nothing and 1"),
    ],
)
def test_a_difference_is_told_with_its_place_and_both_values(other: dict[str, object], told: str) -> None:
    assert differences([ONE], [other]) == [told]


def test_an_object_that_one_side_lacks_is_a_difference() -> None:
    (told,) = differences([ONE], [])
    assert told.startswith("ConfigMap n/a: {")
    assert told.endswith("and nothing")


def test_a_number_is_not_the_text_of_it() -> None:
    assert differences([{**ONE, "data": {"k": 1}}], [{**ONE, "data": {"k": True}}]) == [
        "ConfigMap n/a .data .k: 1 and True"
    ]


def test_every_yaml_file_of_the_examples_is_looked_at() -> None:
    assert ROOT / "manifests" / "examples" / "herder.yaml" in run.examples()
    written = {path for path in (ROOT / "manifests" / "examples").rglob("*") if path.is_file()}
    assert {path for path in written if path.suffix in (".yaml", ".yml", ".json")} == set(run.examples())
