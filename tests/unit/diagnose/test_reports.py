"""Statuses from public reports are diagnosed right: each has patterns that the answer must match, or must not (``not_…``)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from agent.model.diagnosis import Diagnosis
from tests.unit.diagnose.reports import Report, reports


def texts(one: Diagnosis) -> dict[str, str]:
    return {
        "rule": one.rule,
        "category": one.category.value,
        "transient": one.transient.value,
        "retry_helps": one.retry_helps.value,
        "will": one.next_step.will.value,
        "what": one.what,
        "next": one.next_step.text,
        "advice": one.advice,
    }


def fits(expected: Any, text: str) -> bool:
    """One of a list, or a pattern."""
    return text in expected if isinstance(expected, list) else re.search(expected, text, re.IGNORECASE) is not None


@pytest.mark.parametrize("report", reports(), ids=lambda report: report.name)
def test_a_public_report_gets_the_right_answer(report: Report) -> None:
    found = report.diagnoses()
    assert len(found) == len(report.expect)
    for one, expected in zip(found, report.expect, strict=True):
        assert one.container == expected.get("container", one.container)
        for key, pattern in expected.items():
            if key != "container":
                name = key.removeprefix("not_")
                assert fits(pattern, texts(one)[name]) is not key.startswith("not_"), f"{key}: {texts(one)[name]}"


def test_at_least_76_statuses_are_published_ones_and_each_names_its_source() -> None:
    names = [one.name for one in reports()]
    assert len(names) == len(set(names))
    assert sum(not one.made for one in reports()) >= 76
    assert all("https://" in one.source for one in reports())
