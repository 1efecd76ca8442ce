"""A node of ordinary directories: the real cgroup room, ledger, metrics and Node; only the Events' sender is a list, and never answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.cgroup.files import CgroupFiles
from agent.cgroup.tree import Tree
from agent.events.outbox import Outbox
from agent.ledger import Ledger
from agent.metrics.metrics import Metrics
from agent.model import (
    Cgroup,
    ContainerKind,
    EventDelivered,
    KillAttempt,
    KillOutcome,
    Message,
    Notice,
    Pod,
    PodChanged,
    PodContainer,
    PodsListed,
    Rules,
    ScopePolicy,
)
from agent.pressure.seen import SeenProcesses
from agent.run import build_node
from agent.settings import load
from tests.unit.cgroup.fakes import make, remove
from tests.unit.events.world import Posted

UID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
ID = "a" * 64
POD = f"kubepods/burstable/pod{UID}"
CONTAINER = f"{POD}/{ID}"
SANDBOX = f"{POD}/{'5' * 64}"
MODE = "oomward.dev/mode"


def pod(
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    ids: dict[str, str | None] | None = None,
    **limits: int,
) -> Pod:
    """A pod whose containers are the keys of ``ids``; a value None: the API has not told the id yet."""
    named = {"main": ID} if ids is None else ids
    containers = tuple(
        PodContainer(name, ContainerKind.REGULAR, cid, running=cid is not None, limit_bytes=limits.get(name))
        for name, cid in named.items()
    )
    spoken = MappingProxyType(labels or {}), MappingProxyType(annotations or {})
    return Pod(UID, "default", "herder-1", "node-1", *spoken, containers=containers)


class World:
    """``now`` is set by hand."""

    def __init__(
        self,
        tmp_path: Path,
        rules: Rules | None = None,
        *,
        version: str = "v2",
        kmsg: bool = False,
        announce: bool = True,
        emulate_group: bool = False,
        command_lines: str = "history",
        processes: Callable[[Tree, Callable[[str], str]], SeenProcesses | None] = lambda *_: None,
        pressure_events: str = "requested",
        psi: Any = None,
    ) -> None:
        self.mount = tmp_path / "mount"
        self.mount.mkdir(exist_ok=True)
        self.state = tmp_path / "state"
        self.boot = "boot"
        self.now = 100.0
        self.posted: list[Notice] = []
        self.sent: list[Notice] = []
        self.room = 1000
        self._version = version
        self._kmsg = kmsg
        self._processes = processes
        settings = load({"node_name": "node-1"}, {})
        self.settings = replace(
            settings,
            rules=rules or Rules(),
            emulate_group_on_v1=emulate_group,
            mode_applied_events=announce,
            command_lines=command_lines,
            pressure_events=pressure_events,
        )
        self.psi = psi
        self.scope_policies: dict[str, ScopePolicy] = {}  # by the cgroup's path
        self.systemd_loaded_ns = 1
        self.killed: list[str] = []
        self.kill_outcomes: list[KillAttempt] = []
        self.begin()

    def begin(self) -> None:
        """Start an agent on what is there."""
        self.files = CgroupFiles(self.mount, self._version, check_magic=False)
        self.ledger = Ledger.open(self.state, self.boot)
        self.metrics = Metrics("1", process_metrics=False)
        schedule = Posted(self.posted, self.room)
        outbox = Outbox(
            self.ledger, self.metrics, schedule, self.sent.append, self.boot, clock=lambda: self.now, unix_s=self.unix_s
        )
        self.node = build_node(
            self.settings,
            self.boot,
            self.files,
            self.ledger,
            self.metrics,
            outbox,
            self._kill,
            kmsg=self._kmsg,
            psi=self.psi,
            scope_policy=self.scope_policies.get,
            systemd_loaded_ns=lambda: self.systemd_loaded_ns,
            unix_s=self.unix_s,
            processes=self._processes,
        )
        self.tree = self.node.tree
        self.registry, self.failing = self.node.pods.registry, self.node.pods.failing
        self.node.start(self.now)

    def unix_s(self) -> float:
        """The wall clock."""
        return 1_760_000_000.0 + self.now

    def end(self) -> None:
        """The agent's end, or its death: nothing is given back."""
        self.ledger.close()
        self.tree.close()
        self.files.close()

    def die(self) -> None:
        """kill -9: what no turn has committed is lost."""
        self.ledger._store.close()
        self.tree.close()
        self.files.close()

    def _kill(self, container: Cgroup) -> KillAttempt:
        """As cgroup/killing.py: notes what is killed; what comes of it is as set in ``kill_outcomes``, else all are gone."""
        self.killed.append(container.path)
        return self.kill_outcomes.pop(0) if self.kill_outcomes else KillAttempt(KillOutcome.EMPTY)

    def deliver(self, notice: Notice) -> None:
        """The API has accepted it."""
        self.node.message(EventDelivered(notice.name, "created", notice.count), self.now)

    def listed(self, *pods: Pod, skipped: tuple[str, ...] = ()) -> None:
        """The API's full list."""
        self.message(PodsListed(pods, "1", skipped))

    def told(self, one: Pod) -> None:
        """One pod has come or changed."""
        self.message(PodChanged(one))

    def message(self, message: Message) -> None:
        """A message of another thread, and a turn."""
        self.node.message(message, self.now)
        self.turn()

    def metric(self, line: str) -> float | None:
        """One sample of the page, by its name and labels as they stand there; None: there is none."""
        found = re.search(rf"^{re.escape(line)} (\S+)$", self.metrics.page()[1].decode(), re.MULTILINE)
        return None if found is None else float(found[1])

    def reasons(self) -> list[str]:
        return [notice.reason.value for notice in self.posted]

    def make(self, path: str = CONTAINER, knob: int = 0) -> None:
        """The runtime makes a cgroup, and then writes the kubelet's 1, as it does."""
        make(self.mount, path)
        self.turn()
        if knob:
            self.write(path, knob)

    def remove(self, path: str) -> None:
        remove(self.mount, path)
        self.turn()

    def write(self, path: str, value: int) -> None:
        """Somebody writes the knob."""
        (self.mount / path / "memory.oom.group").write_text(f"{value}\n")
        self.turn()

    def knob(self, path: str = CONTAINER) -> int:
        return int((self.mount / path / "memory.oom.group").read_text().split()[0])

    def kill(self, path: str = CONTAINER, count: int = 1, groups: int = 0) -> None:
        """The kernel counts ``count`` more kills here and above, and the agent hears of it."""
        self.kill_unseen(path, count, groups)
        self.turn()

    def kill_unseen(self, path: str = CONTAINER, count: int = 1, groups: int = 0) -> None:
        """Likewise, while no agent runs. A group kill leaves no process."""
        if groups:
            (self.mount / path / "cgroup.events").write_text("populated 0\nfrozen 0\n")
        at = path
        while at:
            for name in ("memory.events", "memory.events.local") if at == path else ("memory.events",):
                file = self.mount / at / name
                keys = {key: int(value) for key, value in (line.split() for line in file.read_text().splitlines())}
                keys["oom_kill"] += count
                keys["oom"] += 1
                keys["oom_group_kill"] += groups
                file.write_text("".join(f"{key} {value}\n" for key, value in keys.items()))
            at = at.rpartition("/")[0]

    def turn(self, after_s: float = 0.0) -> None:
        """One turn of the loop, some time later."""
        self.now += after_s
        self.node.tree_events(self.tree.read(self.now), self.now)
        self.node.after(self.now, None)
        self.ledger.commit()
