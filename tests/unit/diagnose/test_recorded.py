"""The diagnosis of each recorded status: expected.tsv is the table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from agent.model.diagnosis import Category
from tests.unit.diagnose.recorded import NAMES, recorded

EXPECTED = Path(__file__).with_name("expected.tsv")
COLUMNS = ("name", "container", "category", "rule", "transient", "retry_helps", "will", "what", "next", "advice")
BY_REPORTS = {Category.NODE_OOM, Category.OOM_SANDBOX, Category.RESTARTED, Category.RESIZE}  # test_reports.py


def expected() -> dict[str, list[dict[str, str]]]:
    """By fixture; one line that has only a name: nothing is wrong."""
    found: dict[str, list[dict[str, str]]] = {}
    with EXPECTED.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            assert tuple(row) == COLUMNS
            found.setdefault(row.pop("name"), []).extend([row] if row["category"] else [])
    return found


def rows(name: str) -> list[dict[str, str]]:
    """As diagnosed."""
    return [
        {
            "container": one.container or "-",
            "category": one.category.value,
            "rule": one.rule,
            "transient": one.transient.value,
            "retry_helps": one.retry_helps.value,
            "will": one.next_step.will.value,
            "what": one.what,
            "next": one.next_step.text,
            "advice": one.advice,
        }
        for one in recorded(name).diagnoses()
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_status_is_diagnosed_as_expected(name: str) -> None:
    assert rows(name) == expected()[name]


def test_every_recorded_status_has_its_expectation_and_every_category_a_status() -> None:
    assert sorted(expected()) == NAMES
    assert {row["category"] for found in expected().values() for row in found} == set(Category) - BY_REPORTS


def test_the_back_off_is_in_numbers_too() -> None:
    (one,) = recorded("crash-loop-oom-kubelet-1.29").diagnoses()
    step, now = one.next_step, recorded("crash-loop-oom-kubelet-1.29").now_unix_s
    assert step.back_off_s == 160
    assert step.due_unix_s == now - 30 + 160


def test_the_message_is_the_runtimes_or_the_containers_own() -> None:
    (failing,) = recorded("crash-loop-exit-1-kubelet-1.29").diagnoses()
    assert failing.message == "FATAL: ORDER_GATEWAY_HOST is empty"
    (looping,) = recorded("crash-loop-segv-kubelet-1.29").diagnoses()
    assert looping.message.startswith("back-off 10s restarting failed container=web pod=")
    (denied,) = recorded("err-image-pull-denied-crio-1.22").diagnoses()
    assert "errors:\\x0adenied: requested access" in denied.message, "line breaks are made visible"
