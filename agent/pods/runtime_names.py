"""Pods and containers as the container runtime reports them, before the API does."""

from __future__ import annotations

from collections.abc import Iterable

from agent.model import CgroupPlace, Identity, Pod, RuntimeContainer, Sandbox

KEEP_S = 120.0  # a kill may be recorded after its container was removed


class RuntimeNames:
    """Sandboxes and containers by id. What is removed is known for KEEP_S."""

    def __init__(self) -> None:
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, RuntimeContainer] = {}
        self._removed: dict[str, float] = {}

    def copy(self) -> RuntimeNames:
        """For other threads that only read."""
        copied = RuntimeNames()
        copied._sandboxes, copied._containers = self._sandboxes.copy(), self._containers.copy()
        copied._removed = self._removed.copy()
        return copied

    def list(self, sandboxes: Iterable[Sandbox], containers: Iterable[RuntimeContainer], now_s: float) -> None:
        """All that the runtime has: others were removed."""
        before = self._sandboxes.keys() | self._containers.keys()
        for sandbox in sandboxes:
            self.put(sandbox)
            before.discard(sandbox.sandbox_id)
        for container in containers:
            self.put_container(container)
            before.discard(container.container_id)
        for each in before:
            self.remove(each, now_s)

    def put(self, sandbox: Sandbox) -> None:
        self._sandboxes[sandbox.sandbox_id] = sandbox
        self._removed.pop(sandbox.sandbox_id, None)

    def put_container(self, container: RuntimeContainer) -> None:
        self._containers[container.container_id] = container
        self._removed.pop(container.container_id, None)

    def remove(self, runtime_id: str, now_s: float) -> None:
        """A sandbox or a container, by its id."""
        if runtime_id in self._sandboxes or runtime_id in self._containers:
            self._removed.setdefault(runtime_id, now_s)

    def forget_removed(self, now_s: float) -> None:
        """Drop what was removed more than KEEP_S ago."""
        for runtime_id in [one for one, at_s in self._removed.items() if now_s - at_s > KEEP_S]:
            del self._removed[runtime_id]
            self._containers.pop(runtime_id, None)
            self._sandboxes.pop(runtime_id, None)

    def pod(self, place: CgroupPlace) -> Pod | None:
        """The pod of this container's cgroup as it was when the container's sandbox was created. None: not known."""
        container = self._containers.get(place.container_id or "")
        sandbox = None if container is None else self._sandboxes.get(container.sandbox_id)
        return sandbox.pod if sandbox is not None and sandbox.pod.cgroup_key == place.pod_key else None

    def is_sandbox(self, place: CgroupPlace) -> bool:
        """Whether this is the cgroup of a pod's sandbox; False also where that is not known."""
        return place.container_id in self._sandboxes

    def identity(self, place: CgroupPlace, pod: Pod | None) -> Identity | None:
        """The container of this cgroup; ``pod`` as the API has it, None: it has not reported it. None: not known."""
        container, known = self._containers.get(place.container_id or ""), self.pod(place)
        if container is None or known is None:
            return None
        pod = pod or known
        return Identity(pod.namespace, pod.name, pod.uid, container.name, container.container_id)
