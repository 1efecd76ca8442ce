"""The memory.oom.group that the runtime is asked for, before it creates or updates a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from agent.model import Mode, Rules, RuntimeContainer, Sandbox
from agent.modes.policy import decide
from agent.pods.registry import Registry


class CreationModes:
    """Asked by the runtime's thread while the loop's changes what is read here: single look-ups only, each of them atomic.

    ``rules`` gives those in force. ``in_force`` has the mode of each container that runs, by container id, None: left alone;
    after an exceeded tolerance it is not the one that the pod asks for. On cgroup v1 no file can be set: None for all.
    ``without_us`` has the value of those that were created with ours, as it would have been: the runtime writes ours again at an
    update that brings none, also after the container has opted out (measured, containerd 2.1.9).
    """

    def __init__(
        self,
        registry: Registry,
        rules: Callable[[], Rules],
        in_force: Mapping[str, Mode | None],
        cgroup_version: str,
        without_us: Mapping[str, int],
    ) -> None:
        self._registry = registry
        self._rules = rules
        self._in_force = in_force
        self._settable = cgroup_version != "v1"
        self._without_us = without_us

    def oom_group(self, sandbox: Sandbox, container: RuntimeContainer, running: bool) -> int | None:
        """The value to ask for, None: the container did not ask for a mode.

        Labels and annotations are the API's, if it has reported the pod, since they may have changed after the sandbox was created.
        Without the API the ledger's last decision goes before those of the sandbox, as it does for the file (desired.py).
        """
        mode = self._mode(sandbox, container, running) if self._settable else None
        if mode is None:
            return self._without_us.get(container.container_id) if running else None
        return mode.oom_group

    def _mode(self, sandbox: Sandbox, container: RuntimeContainer, running: bool) -> Mode | None:
        if running:
            with suppress(KeyError):  # no look before: the loop may remove it in between
                return self._in_force[container.container_id]
        key = sandbox.pod.cgroup_key
        pod = self._registry.pod_of_key(key)
        if pod is None and (kept := self._registry.remembered_mode(key, container.name)) is not None:
            return kept
        return decide(pod or sandbox.pod, container.name, self._rules()).mode
