"""The measured tools: the agent and the rebuilt tools, each started as a process beside the lab, and ended."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.conftest import MODE, NODE, Node
from tests.lab.boot import REPO
from tests.lab.kubelet import MOUNT

AGENT = "oomward"
PEERS = Path(__file__).parent / "peers"
WRITERS = (AGENT, "shell, every 60 s", "shell, every 1 s", "poller, every 5 s")
STARTED_S = 60.0


@dataclass(slots=True)
class Contestant:
    """A running tool. ``pid``: the process that writes."""

    name: str
    process: subprocess.Popen[bytes]
    out: Path | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def end(self) -> dict[str, int]:
        """End it; an exporter's counts by container id, else {}."""
        self.process.terminate()
        self.process.wait(30)
        return dict(json.loads(self.out.read_text())) if self.out is not None else {}


def start_writer(name: str, node: Node) -> Contestant:
    """One of WRITERS; the agent is ready when this returns."""
    if name == AGENT:
        agent = node.start_agent("--mode-applied-events", "false")
        return Contestant(name, agent.process)
    what, _, every = name.partition(", every ")
    seconds = every.removesuffix(" s")
    if what == "shell":
        command = ["sh", str(PEERS / "shell.sh"), str(MOUNT / node.kubelet.driver.root), seconds]
    else:
        node.api.store.put_node({"kind": "Node", "metadata": {"name": NODE, "uid": NODE}})
        command = [
            *_program("poller"), *_client(node), "--root", node.kubelet.driver.root, "--mount", str(MOUNT),
            "--selector", f"{MODE}=single", "--every", seconds,
        ]  # fmt: skip
    return Contestant(name, _start(command, node.work / "peer.log"))


def start_exporter(name: str, node: Node) -> Contestant:
    """``kmsg_exporter`` or ``api_exporter``; it counts from now on."""
    out = node.work / f"{name}.json"
    arguments = _client(node) if name == "api_exporter" else []
    process = _start([*_program(name), *arguments, "--out", str(out)], node.work / f"{name}.log")
    until = time.monotonic() + STARTED_S
    while not out.with_suffix(".ready").exists():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{name} does not run: {(node.work / f'{name}.log').read_text()[-2000:]}")
        time.sleep(0.05)
    return Contestant(name, process, out)


def _program(name: str) -> list[str]:
    return [sys.executable, "-m", f"tests.bench.peers.{name}"]


def _client(node: Node) -> list[str]:
    return ["--api", node.api.url, "--token", node.api.token or "any", "--node", NODE]


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(command, cwd=REPO, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
