"""What a failed test on a real kernel leaves behind, beside its assertion: its agents' logs, the API's Events, the kernel's log.

A plugin for a conftest.py: import ``pytest_runtest_makereport`` there. The machine is gone when somebody reads of the failure.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Generator
from typing import Any

import pytest

from tests.lab.agent_process import AgentProcess

LINES = 40
COLUMNS = 1500
OF_A_KILL = re.compile(
    r"oom-kill:|Killed process|are going to be killed|invoked oom-killer|Skip killing|suppressed|oom_reaper"
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a failure, as far as a test's fixtures have agents and an API."""
    report = yield
    if report.failed:
        report.sections += [(title, _tail(lines)) for title, lines in _left_behind(item)]
    return report


def _left_behind(item: pytest.Item) -> list[tuple[str, list[str]]]:
    fixtures = list(getattr(item, "funcargs", {}).values())
    fixtures += [fixture.node for fixture in fixtures if hasattr(fixture, "node")]
    agents: list[AgentProcess] = [fixture for fixture in fixtures if isinstance(fixture, AgentProcess)]
    agents += [agent for fixture in fixtures for agent in getattr(fixture, "agents", ())]
    paths = dict.fromkeys(agent.log_path for agent in agents)
    apis = {id(fixture.api): fixture.api for fixture in fixtures if hasattr(fixture, "api")}.values()
    kernel = subprocess.run(["dmesg"], capture_output=True, text=True, errors="replace", check=False).stdout
    return [
        *((f"log of the agent, {path}", path.read_text(errors="replace").splitlines()) for path in paths),
        *(("Events", [_event(event) for event in api.events]) for api in apis),
        ("the kernel's log of kills", [line for line in kernel.splitlines() if OF_A_KILL.search(line)]),
    ]


def _event(event: dict[str, Any]) -> str:
    return f"{event['eventTime']} {event['reason']} {event['regarding']['kind']} {event['regarding']['name']}: {event['note']}"


def _tail(lines: list[str]) -> str:
    return "\n".join(line[:COLUMNS] for line in lines[-LINES:])
