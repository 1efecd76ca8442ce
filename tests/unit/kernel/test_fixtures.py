"""Every recorded or published report of every kernel version is understood, whole."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from agent.kernel.kmsg import Kmsg
from agent.model import KmsgGap, OomReport
from tests.unit.kernel.made_reports import settled_assembler

FIXTURES = Path(__file__).parents[2] / "fixtures" / "kmsg"
ALL = sorted(str(path.relative_to(FIXTURES).with_suffix("")) for path in FIXTURES.glob("*/*.kmsg"))


def as_json(report: OomReport) -> dict[str, Any]:
    """The report without fields that are at their default."""
    fields = dataclasses.asdict(report)
    pairs = {name: json.loads(json.dumps(value)) for name, value in fields.items() if value not in (None, (), [])}
    for row in (*pairs["victims"], *pairs.get("tasks", []), *([pairs["use"]] if "use" in pairs else [])):
        for name in [name for name, value in row.items() if value is None or name == "by_report"]:
            del row[name]
    return {name: value for name, value in pairs.items() if (name, value) != ("sysrq", False)}


def understood(name: str) -> dict[str, Any]:
    """What this room makes of a recorded log."""
    kmsg = Kmsg(FIXTURES / f"{name}.kmsg", after_sequence=-1)
    assembler, _ = settled_assembler()
    try:
        items = [
            item for item in kmsg.read(1_000_000) if not (isinstance(item, KmsgGap) and item.lost == item.next_sequence)
        ]
    finally:
        kmsg.close()
    reports = [report for item in items for report in assembler.reports(item)] + assembler.rest()
    return {
        "reports": [as_json(report) for report in reports],
        "foreign_records": assembler.foreign_records,
        "bad_records": kmsg.bad_records,
    }


@pytest.mark.parametrize("name", ALL)
def test_a_log_of_a_real_kernel_gives_exactly_the_expected_reports(name: str) -> None:
    assert understood(name) == json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


def test_every_kernel_generation_has_a_log() -> None:
    """The table of formats, 3.10 to 7.2, is covered."""
    versions = {name.split("/")[0] for name in ALL}
    assert {
        "3.10",
        "4.18",
        "4.19",
        "5.0",
        "5.3",
        "5.4",
        "5.5",
        "5.14",
        "5.15",
        "6.1",
        "6.8",
        "6.12",
        "6.18",
        "7.2",
    } <= versions
