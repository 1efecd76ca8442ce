"""Fuzz target for the reading of the kernel's log: any bytes as /dev/kmsg, any order, any gaps."""

from __future__ import annotations

from dataclasses import fields

from agent.kernel.kmsg import BadRecordError, parse_record
from agent.kernel.oom_block import Block
from agent.kernel.oom_blocks import OomBlocks
from agent.kernel.oom_report import reports_of
from agent.model import KmsgGap, OomReport

PAGE = 4096


def check(data: bytes) -> list[OomReport]:
    """Read the bytes as records, one a line (an empty line is a gap), and hold the reports to what must always be true."""
    blocks = OomBlocks(PAGE, clock_us=lambda: 0)
    ended: list[Block] = []
    for line in data.split(b"\n"):
        try:
            ended += blocks.feed(parse_record(line) if line else KmsgGap(1, 0))
        except BadRecordError:
            continue
    ended += blocks.flush(None)
    reports = [report for block in ended for report in reports_of(block)]
    if blocks.pending:
        raise AssertionError("something is pending after a flush")
    kill_lines = data.count(b"Killed process ") + data.count(b"oom-kill:constraint=") + data.count(b"\nc")
    victims = sum(len(report.victims) for report in reports)
    if victims > kill_lines + data.count(b";"):
        raise AssertionError(f"{victims} victims of {kill_lines} lines")
    for report in reports:
        _check(report)
    return reports


def _check(report: OomReport) -> None:
    if not report.victims:
        raise AssertionError(f"a report without a victim: {report}")
    if len({victim.pid for victim in report.victims}) != len(report.victims):
        raise AssertionError(f"a victim twice: {report}")
    for path in (report.oom_memcg, report.task_memcg, report.group_memcg):
        if path is not None and not path.startswith("/"):
            raise AssertionError(f"no path: {path!r}")
    if report.global_oom and report.oom_memcg is not None:
        raise AssertionError(f"a global OOM with a domain: {report}")
    for victim in report.victims:
        victim.comm.encode("utf-8")
    if report.use is not None:
        kinds = (getattr(report.use, field.name) for field in fields(report.use))
        if report.global_oom or any(kind is not None and kind < 0 for kind in kinds):
            raise AssertionError(f"no memory of a cgroup: {report}")
