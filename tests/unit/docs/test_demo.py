"""The demo's judgement: it says "as promised" only if it was."""

from __future__ import annotations

from typing import Any

import pytest

from tests.demo.__main__ import judge


def result(**changes: Any) -> dict[str, Any]:
    rows = [
        {"pod": "plain", "asked": "-", "restarts": changes.get("plain_restarts", 1), "killed": 2},
        {"pod": "label", "asked": "label", "restarts": changes.get("restarts", 0), "killed": changes.get("killed", 3)},
    ]
    return {
        "rows": rows,
        "kernel_count": [4, 5],
        "metrics_count": changes.get("metrics", 5),
        "unattributed": changes.get("unattributed", 0),
    }


def test_what_was_promised_is_as_promised() -> None:
    assert judge(result()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"plain_restarts": 0}, "was not restarted"),
        ({"restarts": 1}, "restarts 1"),
        ({"killed": 0}, "killed 0"),
        ({"metrics": 3}, "the kernel counted 4 to 5 killed processes, the metrics 3"),
        ({"metrics": 6}, "the metrics 6"),
        ({"unattributed": 1}, "1 kills could not be attributed"),
    ],
)
def test_whatever_is_not_as_promised_is_said(changes: dict[str, int], words: str) -> None:
    (problem,) = judge(result(**changes))
    assert words in problem
