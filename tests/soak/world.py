"""The node of the soak: its pods and what each asks for, the agents that lived one after the other, and who wrote what.

The oracle's side: nothing here asks the agent what it did. Used by one thread; the watching of writes is a thread of its own.
"""

from __future__ import annotations

import faulthandler
import os
import selectors
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from tests.bench.processes import usage
from tests.kernel.conftest import MODE, NODE, Node, make_node
from tests.lab.agent_process import AgentProcess
from tests.lab.kubelet import MOUNT
from tests.lab.spec import Instance, Pod
from tests.lab.writes import Writes
from tests.soak.thread import OracleThread

BOOKMARK_S = 30.0
RESYNC = "8s"
STILL_S = 300.0  # no action takes so long
SAMPLE_EVERY_S = 1.0
BAD_MODE = "sngle\x1b[31m"


class Kind(StrEnum):
    """What a pod asks for."""

    SINGLE = "single"
    GROUP = "group"
    FLIPS = "flips"  # none or single, by turns
    PLAIN = "plain"
    BAD = "bad"  # a label that asks for nothing


@dataclass(slots=True)
class Lodger:
    """A pod that lives on the node just now. ``dies``: its containers are killed by what they do, over and over."""

    kind: Kind
    pod: Pod
    dies: bool

    @property
    def wanted(self) -> str:
        """What the knob of each of its containers must be: where nobody asks, what the kubelet had the runtime write."""
        return "0" if self.asked == "single" else "1"

    @property
    def held(self) -> bool:
        return self.asked in ("single", "group")

    @property
    def asked(self) -> str:
        """The label as it is read: upper and lower case are the same."""
        return self.pod.labels.get(MODE, "").lower()


@dataclass(frozen=True, slots=True)
class Sample:
    """The agent from outside."""

    at_s: float
    pid: int
    rss_bytes: int
    descriptors: int
    watched: frozenset[int]  # inodes, by the kernel's own list of inotify watches


class Sampler(OracleThread):
    """Looks at the agent once a second until end()."""

    def __init__(self, world: World) -> None:
        super().__init__("sampler", self._look)
        self._world = world
        self._over = threading.Event()
        self.start()

    def _look(self) -> None:
        while not self._over.wait(SAMPLE_EVERY_S):
            try:
                self._world.sample()
            except OSError:
                continue  # the agent was killed while we looked

    def end(self) -> None:
        """No more looks. Raises what kept it from looking to the end."""
        self._over.set()
        self.join()
        self.check()


class Witness(OracleThread):
    """Who writes to which control file of the node, for the writers whose pid is in ``pids``."""

    def __init__(self) -> None:
        super().__init__("witness", self._read)
        self.pids: set[int] = set()
        self.files: Counter[str] = Counter()  # by file name
        self.paths: Counter[str] = Counter()  # by the cgroup's path
        self._writes = Writes(MOUNT)
        self._stopping = os.eventfd(0)
        self.start()

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for source in (self._writes.fileno(), self._stopping):
                selector.register(source, selectors.EVENT_READ)
            while all(key.fd != self._stopping for key, _ in selector.select()):
                for write in self._writes.read():
                    if write.pid in self.pids:
                        path, _, name = write.path.rpartition("/")
                        self.files[name] += 1
                        self.paths[path] += 1

    @property
    def total(self) -> int:
        return self.files.total()

    def end(self) -> None:
        """No more."""
        os.eventfd_write(self._stopping, 1)
        self.join()
        self._writes.close()


@dataclass(slots=True)
class World:
    """All of it. ``blind`` are the times (CLOCK_MONOTONIC) in which no agent could read anything."""

    node: Node
    witness: Witness
    lodgers: list[Lodger] = field(default_factory=list)
    blind: list[tuple[float, float]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)  # of agents, that nobody asked for
    repairs: Counter[str] = field(default_factory=Counter)  # metrics that must stay 0, over all agents
    done: Counter[str] = field(default_factory=Counter)  # actions by name
    missed: Counter[str] = field(default_factory=Counter)  # actions that came too late for what they were for
    odd_uids: set[str] = field(default_factory=set)  # of all pods with a label that asks for nothing
    retold: set[str] = field(
        default_factory=set
    )  # pods whose kills may have an Event too many: it was posted, and its row lost
    history: list[tuple[float, str]] = field(default_factory=list)  # actions, and when they began
    stacks: TextIO | None = (
        None  # where all threads' stacks go if the next action does not begin in time; None: nowhere
    )
    options: tuple[str, ...] = ()  # of each agent, on its command line
    beside_systemd: bool = (
        False  # a real one rewrites the value of containers that ask for nothing, and nobody corrects it
    )
    annotations: dict[str, str] = field(default_factory=dict)  # of all pods
    limit_mib: int = 16  # of a container: runc itself must fit in

    # ---------------------------------------------------------------------------------------------------- the agent

    def start_agent(self) -> AgentProcess:
        """Without waiting for anything."""
        kubeconfig = self.node.work / "kubeconfig"
        agent = AgentProcess(
            self.node.work, kubeconfig, node_name=NODE, extra=("--resync-interval", RESYNC, *self.options)
        )
        self.witness.pids.add(agent.process.pid)
        self.node.agents.append(agent)
        return agent

    def end_agent(self, by: signal.Signals) -> None:
        """As the kubelet, or the kernel, would end it."""
        agent = self.node.agent
        if agent.process.poll() is not None:
            self.deaths.append(f"ended by itself with {agent.process.returncode}: {agent.log_path.read_text()[-2000:]}")
        self.note_what_must_stay_zero()
        agent.stop(by)

    def note_what_must_stay_zero(self) -> None:
        """Before an agent's metrics go with it."""
        for name in ("oomward_resync_corrections_total", "oomward_cgroup_errors_total"):
            self.repairs[name] += int(self.node.agent.total(name))

    def note_action(self, name: str) -> None:
        """It begins now. One that lasts too long shows where it stands still.

        Only then: reading the stacks of threads that run can end the process (faulthandler does not hold the interpreter's lock).
        """
        self.history.append((now(), name))
        if self.stacks is not None:
            faulthandler.dump_traceback_later(STILL_S, file=self.stacks)

    def sample(self) -> None:
        """One look at the agent from outside."""
        agent = self.node.agent
        if agent.process.poll() is None and agent.get("/readyz")[0] == 200:
            seen = usage(agent.process.pid)
            watched = watched_by(agent.process.pid)
            self.samples.append(Sample(seen.at_s, agent.process.pid, seen.rss_bytes, seen.descriptors, watched))

    # -------------------------------------------------------------------------------------------------------- pods

    def instances(self, lodger: Lodger) -> list[Instance]:
        """Its containers that run."""
        return [i for i in self.node.kubelet.instances if i.pod.uid == lodger.pod.uid and i.running]

    def container_paths(self) -> set[str]:
        """Of all that ever ran, the scopes of crun's included."""
        kubelet, found = self.node.kubelet, set[str]()
        for instance in kubelet.instances:
            found |= {instance.path, kubelet.driver.container_path(instance.pod, instance.container_id)}
        return found

    def wrong_knobs(self) -> list[str]:
        """Containers that run and whose knob is not what their pod asks for."""
        found = []
        for lodger in self.lodgers:
            if self.beside_systemd and not lodger.held:
                continue
            for instance in self.instances(lodger):
                try:
                    value = (MOUNT / instance.path / "memory.oom.group").read_text().strip()
                except OSError:
                    continue  # it ended just now
                if value != lodger.wanted:
                    found.append(f"{instance.path} ({lodger.kind}) is {value}, not {lodger.wanted}")
        return found

    def close(self) -> None:
        """Take it all down."""
        self.witness.end()
        self.node.close()


def make_world(work: Path, driver: str) -> World:
    """A node whose back-off is short, with an agent that is ready."""
    node = make_node(work, driver, status_delay_s=0.5, systemd_writes=True, backoff_factor=0.05)
    node.api.bookmark_s = BOOKMARK_S
    node.api.write_kubeconfig(work / "kubeconfig")
    world = World(node, Witness())
    world.start_agent().wait_ready()
    return world


def watched_by(pid: int) -> frozenset[int]:
    """Inodes that a process watches by inotify (proc(5), fdinfo)."""
    found = set()
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            lines = info.read_text().splitlines()
        except OSError:
            continue  # closed meanwhile
        found |= {int(line.split()[2].removeprefix("ino:"), 16) for line in lines if line.startswith("inotify ")}
    return frozenset(found)


def now() -> float:
    """CLOCK_MONOTONIC."""
    return time.monotonic()
