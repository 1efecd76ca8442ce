"""Names in the documents are the code's and the code's are in the documents: metrics, reasons, keys, variables, settings, tests."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import model
from agent.model import Reason
from agent.model import recover as of_recovery
from agent.pods.parse import CONFIG_MIRROR_ANNOTATION
from agent.settings import SETTINGS, load
from agent.settings.rules import RULES_KEYS
from tests.unit.docs.pages import PAGES, ROOT, blocks, code, names

METRIC = re.compile(r"\boomward_[a-z_]+[a-z]")
REASON = re.compile(r"\b(?:(?:Process|Container)OOM[A-Z]\w+|OOM(?:Mode|Tolerance|Container)[A-Z]\w+)\b")
KEY = re.compile(r"(?<![\w./-])((?:[a-z-]+\.)?oomward\.dev/)([a-z-]*)")
VARIABLE = re.compile(r"\bOOMWARD_[A-Z_]+\b")
TEST = re.compile(r"\btest_[a-z0-9_]+(?!\.py|\w)")
FILE = re.compile(r"(?<![\w/.-])((?:agent|tests|scripts|manifests|docs)/[\w./-]+?)(?=[`\s),:;]|$)")
OTHER_KEYS = {
    "oomward.dev/agent",  # reportingController of the Events
    "oomward.dev/restart-on-failure",  # these are the admission policies' and the ClusterRoles', not the code's
    "defaults.oomward.dev/mode",
    "defaults.oomward.dev/restart-notebooks",
    "recover.oomward.dev/rights",
}
OTHER_VARIABLES = {
    "OOMWARD_TESTS",
    "OOMWARD_LAB",
    "OOMWARD_LAB_KERNEL",
    "OOMWARD_LAB_OUT",
    "OOMWARD_LAB_CGROUP",
}  # the tests' own
FILE_KEYS = {setting.key for setting in SETTINGS} | set(RULES_KEYS)


def everything() -> str:
    return "\n".join(page.read_text() for page in PAGES)


@cache
def metrics() -> frozenset[str]:
    """Those of the reference, which another test holds against the code."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    return frozenset(re.findall(r"^\| `(oomward_\w+)` \|", page, re.MULTILINE))


def keys() -> set[str]:
    """Labels and annotations of the model: whole, or what goes before a container's name."""
    constants = {**vars(model), **vars(of_recovery)}
    return {v for n, v in constants.items() if n.endswith(("_LABEL", "_ANNOTATION", "_ANNOTATION_PREFIX"))}


@cache
def every_test() -> frozenset[str]:
    """Functions and modules."""
    paths = list((ROOT / "tests").rglob("test_*.py"))
    functions = (name for path in paths for name in re.findall(r"def (test_\w+)", path.read_text()))
    return frozenset(functions) | {path.stem for path in paths}


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_metric_that_is_named_exists(page: Path) -> None:
    named = set(METRIC.findall(page.read_text()))
    assert {name for name in named if not {name, re.sub(r"_(bucket|count|sum)$", "", name)} & metrics()} == set()


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_reason_that_is_named_exists(page: Path) -> None:
    assert set(REASON.findall(page.read_text())) - {reason.value for reason in Reason} == set()


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_label_and_annotation_that_is_named_exists(page: Path) -> None:
    for prefix, rest in KEY.findall(page.read_text()):
        key = prefix + rest.removesuffix("-")  # `kubectl label pod NAME key-` takes it away
        known = keys() | OTHER_KEYS | {one.removesuffix(".") for one in keys()}
        assert prefix in keys() or key in known, key


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_environment_variable_that_is_named_exists(page: Path) -> None:
    assert set(VARIABLE.findall(page.read_text())) - {s.variable for s in SETTINGS} - OTHER_VARIABLES == set()


def test_every_key_of_the_code_is_in_its_reference_and_no_other() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "reference" / "labels.md").read_text(), re.MULTILINE)
    assert {row.removesuffix("<container>") for row in rows} == keys() - {model.CONFIG_HASH_ANNOTATION}
    for kubelets in (model.CONFIG_HASH_ANNOTATION, CONFIG_MIRROR_ANNOTATION):
        assert kubelets in (ROOT / "docs" / "reference" / "labels.md").read_text()


def test_every_reason_of_the_code_is_explained_outside_of_the_reference_too() -> None:
    """A reader who meets one finds what to do."""
    told = "".join(p.read_text() for p in PAGES if p.parent.name != "reference")
    assert {reason.value for reason in Reason if reason.value not in told} == set()


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_configuration_that_is_shown_is_one(page: Path, tmp_path: Path) -> None:
    for text in blocks(page, "yaml"):
        document = next(yaml.safe_load_all(text), None)
        if isinstance(document, dict) and document and set(document) <= FILE_KEYS:
            file = tmp_path / "config.yaml"
            file.write_text(text)
            assert load({"config": str(file)}, {"NODE_NAME": "n"}, required=()).config == file


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_yaml_that_is_shown_can_be_read(page: Path) -> None:
    shown: list[Any] = [document for text in blocks(page, "yaml") for document in yaml.safe_load_all(text)]
    assert None not in shown


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_test_that_is_named_exists(page: Path) -> None:
    assert {name for line in code(page) for name in TEST.findall(line)} - every_test() == set()


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_file_of_ours_that_is_named_exists(page: Path) -> None:
    found = {path for line in code(page) if "://" not in line for path in FILE.findall(line)}
    assert {path for path in found if "…" not in path and not (ROOT / path).exists()} == set()


def test_the_documents_name_no_alert_without_a_runbook() -> None:
    alerts = set(re.findall(r"\bOomward[A-Z]\w+\b", everything()))
    assert {alert for alert in alerts if not (ROOT / "docs" / "runbooks" / f"{alert}.md").exists()} == set()
