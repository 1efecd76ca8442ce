"""Hostile tenants beside honest ones: from beginning to end, on the kernel.

The hostile ones do all they can. The honest ones' kills, Events, metrics and the probes are measured from outside (probe.py), and judged
(verdict.py).
"""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agent.ledger import LedgerReader
from tests.kernel.conftest import NODE, Node
from tests.lab.apiserver import ApiServer
from tests.lab.boot import REPO
from tests.lab.drivers import Driver
from tests.lab.kubelet import Kubelet
from tests.lab.spec import Instance
from tests.soak import host
from tests.soak.honest import Honest
from tests.soak.hostile import Attackers, Field
from tests.soak.verdict import Seen, judge

HISTORY = 60  # changes that the API remembers: those of large pods are large
BOOKMARK_S = 30.0
TURN_S = 0.5
SETTLE_S = 20.0
ATTACKERS = ("unread", "dribble", "forge")


class Watcher:
    """The probe, and what it has written so far."""

    def __init__(self, node: Node) -> None:
        agent = node.agent
        command = [
            sys.executable,
            "-m",
            "tests.soak.probe",
            str(agent.process.pid),
            str(agent.port),
            str(node.work / "state"),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO)
        self.lines: list[list[Any]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def look_at(self, instance: Instance) -> None:
        """At this container's counters, as long as it is there."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": instance.container_id, "path": instance.path}) + "\n")
        self._process.stdin.flush()

    def end(self) -> list[list[Any]]:
        """All that it saw."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._reader.join()
        return self.lines

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(json.loads(line))


def make_node(work: Path, driver: str) -> Node:
    """A node with an agent that is ready, as it comes: with its own settings."""
    api = ApiServer(history=HISTORY, bookmark_s=BOOKMARK_S, elsewhere=True)
    api.start()
    kubelet = Kubelet(
        NODE,
        Driver(driver),
        publish=api.put_pod,
        remove=lambda pod: api.delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"]),  # type: ignore[index]
        status_delay_s=0.5,
        backoff_factor=0.05,
        systemd_writes=True,
    )
    node = Node(kubelet, api, work)
    node.start_agent()
    return node


def soak(work: Path, driver: str, seconds: float, seed: int) -> tuple[list[str], dict[str, str]]:
    """Returns what is wrong, and the figures. Raises what the lab's own trouble raises."""
    node = make_node(work, driver)
    watcher = Watcher(node)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        honest = Honest(node.kubelet, node.api.put_pod, watcher.look_at)
        honest.begin()
        processes += [attacker(name, node) for name in ATTACKERS]
        victims = lambda: [each for each in honest.instances[-8:] if each.running]  # noqa: E731
        world = Field(node.api, node.kubelet, NODE, victims, chance=random.Random(seed))
        attackers = Attackers(world)
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s and node.agent.process.poll() is None:
            honest.turn()
            time.sleep(TURN_S)
        settle_s = time.monotonic() + SETTLE_S  # the attacks go on, but no honest pod is new
        while time.monotonic() < settle_s:
            time.sleep(TURN_S)
        attackers.end()
        attackers.failures += [f"{process.args!r} ended" for process in processes if process.poll() is not None]
        ended = node.agent.process.poll()
        honest.end()
        time.sleep(SETTLE_S if ended is None else 0.0)
        lines = watcher.end()
        reader = LedgerReader(node.work / "state")
        kills = [kill for kill in reader.kills(limit=1_000_000) if (kill.namespace or "").startswith("honest")]
        everything = sum(reader.processes_killed().values())
        reader.close()
        seen = Seen(lines, node.api.store.event_times, honest.instances, honest.deleted_s, kills, host_samples())
        (Path(os.environ["OOMWARD_LAB_OUT"]) / "soak-seen.pickle").write_bytes(pickle.dumps(seen))  # to be judged again
        wrong, figures = judge(seen)
        wrong += [f"the agent ended with {ended}"] * (ended is not None) + [
            f"the lab's own trouble: {each}" for each in attackers.failures
        ]
        figures["all kills in the ledger"] = str(everything)
        figures |= {f"attack: {name}": str(count) for name, count in sorted(world.done.items())}
        return wrong, figures
    finally:
        for process in processes:
            process.kill()
        out = Path(os.environ["OOMWARD_LAB_OUT"])
        shutil.copy(node.agent.log_path, out / "soak-agent.log")
        node.close()


def host_samples() -> list[tuple[float, float]]:
    """The host's samples, by this machine's clock."""
    out = Path(os.environ["OOMWARD_LAB_OUT"])
    samples = host.read(out)
    ahead_s = host.ahead_s(out) if samples else 0.0
    return [(at_s + ahead_s, used_s) for at_s, used_s in samples]


def attacker(name: str, node: Node, per_s: int = 40) -> subprocess.Popen[bytes]:
    """It has no priority at all. ``per_s``: requests of those that ask the agent."""
    more = {"unread": (str(node.agent.port), str(per_s)), "dribble": (str(node.agent.port),)}.get(name, ())
    command = ["nice", "-n", "10", sys.executable, "-m", "tests.soak.attackers", name, *more]
    return subprocess.Popen(command, cwd=REPO, stdin=subprocess.DEVNULL)
