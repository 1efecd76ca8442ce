"""Fuzz target for requests on the agent's socket: any bytes get one line of JSON as an answer, and no command fails at them."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import Hierarchy
from agent.ledger import Ledger
from agent.pods.parse import parse_pod
from agent.pods.registry import Registry
from agent.pods.state import NodeState
from agent.serve.answers import Answers
from agent.serve.protocol import FailedError, RefusedError, read_answer
from agent.settings import load
from tests.unit.recover.pods import killed

FAILED = "the agent failed at it"


@cache
def answers() -> Answers:
    """Of an agent with one pod and an empty ledger, in a folder of its own."""
    work = Path(tempfile.mkdtemp(prefix="oomward-fuzz-"))
    mount = work / "cgroup"
    mount.mkdir()
    (mount / "cgroup.controllers").write_text("memory\n")
    Ledger.open(work, "boot").close()
    settings = load({"node_name": "node-1", "cgroup_mount": str(mount), "state_dir": str(work)}, {})
    registry = Registry()
    registry.put(parse_pod(killed()), 0.0)
    registry.listed = True
    state = NodeState({}, registry, settings.rules)
    hierarchy = Hierarchy("v2", mount, hybrid=False, local_events=False)
    files = lambda: CgroupFiles(mount, "v2", check_magic=False)  # noqa: E731
    return Answers(settings, hierarchy, files, lambda asked: asked.answer(state))


def check(data: bytes) -> None:
    """One answer, which the command can read."""
    line = answers().answer(data)
    if line.count(b"\n") != 1 or not line.endswith(b"\n"):
        raise AssertionError(f"the answer is no line: {line!r}")
    try:
        read_answer(line)
    except (RefusedError, FailedError) as error:
        if str(error).startswith(FAILED) or not str(error):
            raise AssertionError(f"it failed: {error}") from error
