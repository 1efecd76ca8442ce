"""Which process was killed, on a real kernel: its command line and its parents' were read before the kernel killed it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from agent.ledger import LedgerReader
from agent.model import OomKill
from tests.kernel.conftest import MODE, Node, make_node
from tests.lab.spec import Container, Instance, Pod, Program

# Reads files until its container's limit is reached by page cache, which is no kill, and some seconds more; then it leaks.
LEAK = """
import os, sys, time
until, kept = time.monotonic() + 12, []
while time.monotonic() < until:
    for folder, _, names in os.walk("/usr/lib"):
        for name in names:
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    while file.read(1 << 20) and time.monotonic() < until:
                        pass
            except OSError:
                pass
        if time.monotonic() > until:
            break
while True:
    kept.append(bytearray(b"x" * (1 << 20)))
    time.sleep(0.05)
"""
SUPERVISOR = """
import subprocess, sys
subprocess.call([sys.executable, "-c", sys.argv[1], "worker", "-Q", "images", "--password", "hunter2"])
"""
PYTHON = shutil.which("python3") or "python3"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "systemd", status_delay_s=0.5)
    node.start_agent("--command-lines", "log")
    yield node
    node.close()


def start(node: Node, name: str, *argv: str, limit_mib: int = 40) -> Instance:
    container = Container("main", (), limit_mib, program=Program(argv))
    return node.kubelet.run_pod(Pod(name, (container,), labels={MODE: "single"}, runtime="runc"))[0]


def the_kill(node: Node, pod: str) -> OomKill:
    def found() -> list[OomKill]:
        reader = LedgerReader(node.work / "state")
        kills = reader.kills(pod=pod, limit=10)
        reader.close()
        return kills

    node.agent.wait_for(found, 180, f"a kill of {pod}")
    return found()[-1]


def test_a_leaks_command_line_and_ancestry_are_in_log_and_history_without_its_secrets(node: Node) -> None:
    start(node, "leak", "/bin/sh", "-c", 'python3 -c "$0" "$1"; sleep 600', SUPERVISOR, LEAK)
    kill = the_kill(node, "leak")
    victim = kill.seen[0]
    assert victim.pid == kill.victims[0].pid
    assert victim.command.endswith("worker -Q images --password ***")
    assert victim.parents[-1] == "sh"
    assert len(victim.parents) == len(victim.parent_commands) == 2
    assert victim.parent_commands[-1].startswith("/bin/sh -c")
    (line,) = node.agent.log_lines(event="oom_kill", pod="leak")
    assert line["seen"][0]["command"].endswith("worker -Q images --password ***")  # type: ignore[index]
    assert "hunter2" not in node.agent.log_path.read_text()
    shown = json.loads(node.oomward("history", "--output", "json").stdout)["kills"][0]
    assert shown["seen"][0]["command"] == victim.command
    node.agent.wait_for(lambda: node.events("ProcessOOMKilled", "leak"), 60, "an Event")
    (event,) = node.events("ProcessOOMKilled", "leak")
    assert "worker" not in event["note"]
    assert "Process: python3 ← python3 ← sh." in event["note"]


HOSTILE = """
import os, subprocess, sys
long = ["x" * 100_000] * 15
for _ in range(150):
    if not os.fork():
        os.setsid()
        import time
        time.sleep(600)
subprocess.call([sys.executable, "-c", sys.argv[1], b"\\x1b[2J\\xff", "a\\nb", "--token=hunter2", *long])
"""


def test_many_processes_and_arguments_made_to_harm_are_shown_short_and_safe(node: Node) -> None:
    start(node, "hostile", "/bin/sh", "-c", 'python3 -c "$0" "$1"; sleep 600', HOSTILE, LEAK, limit_mib=250)
    kill = the_kill(node, "hostile")
    victim = next((one for one in kill.seen if one.pid == kill.victims[0].pid), None)
    assert victim is not None
    assert "\\xff a …" in victim.command
    assert len(victim.command) <= 256
    (line,) = [
        text for text in node.agent.log_path.read_text().splitlines() if '"oom_kill"' in text and "hostile" in text
    ]
    assert len(line) < 8192
    assert "\x1b" not in line + node.oomward("history").stdout + node.oomward("explain", "hostile").stdout
    assert "hunter2" not in node.agent.log_path.read_text() + repr(kill)


def test_an_agent_that_starts_again_knows_no_process_from_before(node: Node) -> None:
    """What was seen is in memory only: the ledger has what was recorded with a kill."""
    before = the_kill(node, "leak").seen
    node.agent.stop()
    node.start_agent("--command-lines", "log")
    assert the_kill(node, "leak").seen == before
