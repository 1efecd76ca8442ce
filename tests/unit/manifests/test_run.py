"""What `make manifests` says when it can't do its work, and how it judges; with the tools themselves it runs in CI."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.manifests import run, schemas, tools
from tests.manifests.objects import ROOT, differences, mapping, parse, without_helms_labels

ONE = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "n", "labels": {}},
    "data": {"k": "v"},
}


def complain(*said: str) -> Iterable[str]:
    return said


def fail() -> Iterator[str]:
    yield from ()
    raise tools.ToolError("the tool's words")


def test_without_kubectl_it_names_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECTL", str(tmp_path / "kubectl"))
    assert run.main() == 1
    said = capsys.readouterr().err
    assert "there is no kubectl" in said
    assert "`make manifests`" in said


@pytest.mark.parametrize("module", ["helm_python", "kubernetes_validate"])
def test_without_a_library_it_names_what_brings_it(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.delenv("HELM", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(tools.ToolError, match=r"is not installed: `make manifests`"):
        tools.lint() if module == "helm_python" else schemas.supported_versions()


def test_what_a_check_complains_of_fails_all_and_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [("one", complain), ("two", lambda: complain("line 3", "bad")), ("three", fail)]
    monkeypatch.setattr(run, "checks", lambda: iter(checks))
    monkeypatch.setattr(run, "versions", lambda: "kubectl 1")
    assert run.main() == 1
    said = capsys.readouterr().out
    assert (
        "passed  one\nFAILED  two\n    line 3\n    bad\nFAILED  three\n    the tool's words\n1 passed, 2 failed\n"
        in said
    )


def test_no_check_at_all_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "checks", lambda: iter(()))
    monkeypatch.setattr(run, "versions", lambda: "kubectl 1")
    assert run.main() == 1


def test_equal_objects_differ_in_nothing() -> None:
    assert differences([ONE], [dict(reversed(ONE.items()))]) == []


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


def test_an_object_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="ConfigMap n/a is there twice"):
        differences([ONE, ONE], [ONE])


def test_of_helm_s_labels_nothing_is_compared_and_of_others_all() -> None:
    labels = {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/name": "oomward"}
    (bare,) = without_helms_labels([{**ONE, "metadata": {"name": "a", "labels": labels}}])
    assert bare["metadata"]["labels"] == {"app.kubernetes.io/name": "oomward"}
    assert len(labels) == 2, "the original is as it was"


@pytest.mark.parametrize("text", ["kind: Pod", "- 1", "apiVersion: v1\nkind: ''", "a: [", "text"])
def test_what_is_no_object_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^file: "):
        parse(text, "file")


@pytest.mark.parametrize("text", ["kind: Pod", "- 1", "", "a: 1\n---\nb: 2", "a: ["])
def test_what_are_no_values_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^file: "):
        mapping(text, "file")


def test_every_yaml_file_of_the_examples_is_looked_at() -> None:
    assert ROOT / "manifests" / "examples" / "herder.yaml" in run.examples()
    written = {path for path in (ROOT / "manifests" / "examples").rglob("*") if path.is_file()}
    assert {path for path in written if path.suffix in (".yaml", ".yml", ".json")} == set(run.examples())
