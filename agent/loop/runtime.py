"""What each message of the runtime (NRI) changes: names of pods and containers, and the modes that follow from them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from agent import model
from agent.cgroup.tree import Tree
from agent.metrics.metrics import Metrics
from agent.modes.controller import ModeController
from agent.pods.registry import Registry
from agent.wording import notes
from agent.wording.logs import log
from agent.wording.text import safe

logger = logging.getLogger("oomward")

MOST_SHOWN = 300  # characters of the runtime's own words


@dataclass(eq=False)
class Runtime:
    """``required``: without the runtime's questions the agent is not ready."""

    registry: Registry
    modes: ModeController
    tree: Tree
    metrics: Metrics
    required: bool = False
    connected: str | None = field(default=None, init=False)  # the runtime's name and version; None: it does not ask us
    _trouble: str = field(default="", init=False)

    def ready(self) -> tuple[bool, str | None]:
        """Whether the agent may be ready, and a line for people; None: nothing to say."""
        if self.connected is not None:
            return True, f"asked by {self.connected} before it creates containers"
        if not self.required:
            return True, None
        return False, f"NRI is required, and the runtime does not ask: {self._trouble or 'there is no socket yet'}"

    def message(self, message: model.RuntimeMessage, now_s: float, between: Callable[[], None]) -> None:
        """One message of the runtime's thread."""
        match message:
            case model.RuntimeConnected(runtime):
                self._connected(safe(runtime))
            case model.RuntimeLost(why):
                self._lost(safe(why, MOST_SHOWN))
            case model.RuntimeListed(sandboxes, containers):
                self.registry.runtime.list(sandboxes, containers, now_s)
                for cgroup in self.modes.containers():
                    between()
                    self.modes.consider(cgroup, now_s)
            case model.SandboxSeen(sandbox):
                self.registry.runtime.put(sandbox)
                self._consider(sandbox.pod.cgroup_key, sandbox.sandbox_id, now_s)
            case model.ContainerCreating(sandbox, container, oom_group):
                self.registry.runtime.put(sandbox)
                self.registry.runtime.put_container(container)
                if oom_group is not None:
                    self.modes.created.asked(container.container_id)
                self._consider(sandbox.pod.cgroup_key, container.container_id, now_s)
            case model.SandboxRemoved(runtime_id) | model.ContainerRemoved(runtime_id):
                self.registry.runtime.remove(runtime_id, now_s)
                self.modes.created.removed(runtime_id)
            case model.CreationFailed():
                self._creation_failed(message)

    def _consider(self, key: str, runtime_id: str, now_s: float) -> None:
        """The cgroup may be there before its name."""
        for cgroup in self.tree.containers(key):
            if cgroup.place.container_id == runtime_id:
                self.modes.consider(cgroup, now_s)

    def _connected(self, runtime: str) -> None:
        self.connected = runtime
        self._trouble = ""
        self.metrics.nri_connected.set(1)
        log(logger, logging.INFO, f"NRI: {runtime} asks for modes before it creates containers")

    def _lost(self, why: str) -> None:
        if self.connected is not None:
            self.metrics.nri_disconnects.inc()
        level = logging.WARNING if why and (self.required or self.connected is not None) else logging.INFO
        self.connected, self._trouble = None, why
        self.metrics.nri_connected.set(0)
        log(logger, level, notes.nri_lost_line(why))

    def _creation_failed(self, failed: model.CreationFailed) -> None:
        self.metrics.nri_failed_creations.inc()
        pod = self.registry.pod_of_key(failed.sandbox.pod.cgroup_key) or failed.sandbox.pod
        note = notes.creation_failed_note(failed.container.name, conflict=failed.conflict)
        self.modes.notices.failed(pod, note, f"creation-{failed.container.name}", pod.uid)
