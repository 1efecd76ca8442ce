"""A kubelet's stand-in: makes pods' cgroups, has real runtimes start real containers, restarts them, reports their status.

In what it does to cgroups it does as the kubelet: limits per pod and container, memory.oom.group 1 for each container by
the runtime, a pause sandbox beside them with 0, a new id and a new cgroup at each restart, back-off from 10 s doubling.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tests.lab import backoff, cgroups
from tests.lab.cgroups import MOUNT, memory_events
from tests.lab.drivers import Driver
from tests.lab.loop import Loop
from tests.lab.runtime import Runtime, RuntimeFailedError, bundle, first_look
from tests.lab.signals import send
from tests.lab.spec import MIB, Container, Instance, Pod
from tests.lab.status import pod_object

__all__ = ["MOUNT", "Kubelet", "memory_events"]

PAUSE = Container("POD", ("pause",), limit_mib=None)
ORDER = {"sidecar": 0, "initContainers": 0, "containers": 1, "ephemeralContainers": 2}
Publish = Callable[[dict[str, object]], None]


class Kubelet:
    """``publish`` and ``remove`` get pod objects as the API would store them; ``status_delay_s`` is how late.

    ``backoff_factor`` compresses the time between restarts. ``single_process_oom_kill`` is the kubelet's setting of that name:
    the runtime is asked for no memory.oom.group. ``systemd_writes``: under the systemd driver the scope is there and got
    its two 0 before the runtime's 1, as systemd does it.
    """

    FAILURES: tuple[type[Exception], ...] = (RuntimeFailedError,)  # of a start

    def __init__(
        self,
        node_name: str,
        driver: Driver,
        *,
        publish: Publish,
        remove: Publish,
        status_delay_s: float = 1.0,
        backoff_factor: float = 1.0,
        single_process_oom_kill: bool = False,
        systemd_writes: bool = False,
        kubepods_limit_mib: int | None = None,
    ) -> None:
        self.node_name = node_name
        self.driver = driver
        self.instances: list[Instance] = []
        self.sandboxes: dict[str, str] = {}  # pod uid → sandbox id
        self.failed_starts: list[str] = []
        self._publish = publish
        self._remove = remove
        self._delay_s = status_delay_s
        self._backoff_factor = backoff_factor
        self._group = not single_process_oom_kill
        self._systemd_writes = systemd_writes and driver.name == "systemd"
        self._pods: dict[str, Pod] = {}
        self._sandbox_pids: dict[str, int] = {}
        self._runtimes = {name: Runtime(name) for name in ("runc", "crun")}
        self._loop = Loop("kubelet")
        self._lock = self._loop.lock
        self._make_cgroup(self.driver.root)
        if kubepods_limit_mib is not None:
            self._set_limit(self.driver.root, kubepods_limit_mib * MIB)

    # --------------------------------------------------------------------------------------------------------- pods

    def run_pod(self, pod: Pod) -> list[Instance]:
        """Admit a pod: the API knows it first, then its cgroup, its sandbox, and its containers in the kubelet's order."""
        with self._lock:
            self._pods[pod.uid] = pod
            self._publish(self.status(pod))
            self._make_cgroup(self.driver.pod_path(pod))
            self._limit_pod(pod)
            self.sandboxes[pod.uid] = self._start_sandbox(pod)
        started = []
        for container in sorted(pod.containers, key=lambda c: ORDER[c.kind]):
            started.append(self.start_container(pod, container))
            if container.kind == "initContainers":
                self.wait_for(lambda name=container.name: self._succeeded(pod, name), 30.0)  # type: ignore[misc]
        return started

    def delete_pod(self, pod: Pod) -> None:
        """Kill what runs, remove the cgroups, tell the API."""
        with self._lock:
            del self._pods[pod.uid]
            for instance in self._running(pod):
                with suppress(ProcessLookupError):
                    send(instance.pid)
                self._end(instance)
            self._remove_sandbox(pod)
            self._remove_cgroup(self.driver.pod_path(pod))
        self._remove(self.status(pod))

    def relabel(self, pod: Pod, **changes: dict[str, str]) -> Pod:
        """Other labels or annotations for a running pod; returns the pod as it is now."""
        return self._change(pod, **changes)

    def add_ephemeral(self, pod: Pod, container: Container) -> tuple[Pod, Instance]:
        """``kubectl debug``: a further container in a running pod; returns the pod as it is now, and the start."""
        changed = self._change(pod, containers=(*pod.containers, replace(container, kind="ephemeralContainers")))
        return changed, self.start_container(changed, changed.containers[-1])

    def resize(self, pod: Pod, name: str, limit_mib: int) -> Pod:
        """In-place resize of a container's memory limit: the runtime writes it, and memory.oom.group once more; the pod's limit follows."""
        changed = self._change(
            pod, containers=tuple(replace(c, limit_mib=limit_mib) if c.name == name else c for c in pod.containers)
        )
        before = next(c.limit_mib for c in pod.containers if c.name == name) or 0
        if limit_mib > before:
            self._limit_pod(changed)
        instance = self.running(changed, name)
        if self._systemd_writes:
            (MOUNT / instance.path / "memory.oom.group").write_text("0")
        self._update(instance, limit_mib * MIB)
        if limit_mib <= before:
            self._limit_pod(changed)
        return changed

    def status(self, pod: Pod) -> dict[str, object]:
        """The pod's object as the API would have it now."""
        return pod_object(pod, self.node_name, [i for i in self.instances if i.pod.uid == pod.uid])

    def _change(self, pod: Pod, **changes: Any) -> Pod:
        changed = replace(pod, **changes)
        with self._lock:
            self._pods[pod.uid] = changed
            for instance in self.instances:
                if instance.pod.uid == pod.uid:
                    instance.pod = changed
        self._publish(self.status(changed))
        return changed

    def _limit_pod(self, pod: Pod) -> None:
        if (limit_mib := pod.sum_of_limits_mib) is not None:
            self._set_limit(self.driver.pod_path(pod), limit_mib * MIB)

    # --------------------------------------------------------------------------------------------------- containers

    def start_container(self, pod: Pod, container: Container) -> Instance:
        """One start: a new id, a new cgroup; its status follows late. Raises what the runtime fails with."""
        instance = self._start(pod, container, len(self._starts(pod, container.name)))
        with self._lock:
            self.instances.append(instance)
            self._watch(instance)
        self._report_later(pod)
        return instance

    def execute(self, instance: Instance, *arguments: str) -> int:
        """A further process in a running container (kubectl exec); returns its pid."""
        pid = self._runtimes[instance.pod.runtime].execute(instance.container_id, "/hog", *arguments)
        self._loop.adopt(pid)
        return pid

    def probe(self, instance: Instance, *command: str) -> int:
        """The exit code of an exec probe's command in a running container."""
        return self._runtimes[instance.pod.runtime].probe(instance.container_id, *command)

    def kill(self, instance: Instance) -> None:
        """SIGKILL for a container's PID 1, as if it had crashed; by its restart policy it is started again. Raises ProcessLookupError."""
        send(instance.pid)

    def first_look(self, instance: Instance) -> str:
        """memory.oom.group as the container saw it at its first instruction: ``0``, ``1`` or ``none``."""
        self.wait_for(lambda: first_look(instance.container_id) is not None, 30.0)
        look = first_look(instance.container_id)
        assert look is not None
        return look[0]

    def running(self, pod: Pod, name: str) -> Instance:
        """The instance of a container that runs now."""
        return next(i for i in self._running(pod) if i.container == name)

    def _starts(self, pod: Pod, name: str) -> list[Instance]:
        return [i for i in self.instances if i.pod.uid == pod.uid and i.container == name]

    def _running(self, pod: Pod) -> list[Instance]:
        return [i for i in self.instances if i.pod.uid == pod.uid and i.running]

    def _succeeded(self, pod: Pod, name: str) -> bool:
        return any(i.exit_code == 0 for i in self._starts(pod, name))

    # ------------------------------------------------------------------------------------------------- death, status

    def _end(self, instance: Instance) -> None:
        """PID 1 is gone, or about to: note how, remove the container and its cgroup."""
        self._note_end(instance)
        self._remove_container(instance)

    def _died(self, instance: Instance) -> None:
        if not instance.running:
            return
        self._end(instance)
        pod = self._pods.get(instance.pod.uid)
        if pod is None:
            return
        container = next(c for c in pod.containers if c.name == instance.container)
        if pod.restarts(container, instance.exit_code or 0):
            self._restart_later(pod, container)
        self._report_later(pod)

    def _restart_later(self, pod: Pod, container: Container) -> None:
        starts = self._starts(pod, container.name)
        delay_s = backoff.delay_s([i.lasted_s for i in starts], self._backoff_factor)
        self._restart_after(delay_s, starts[-1], container)

    def _restart_after(self, delay_s: float, last: Instance, container: Container) -> None:
        """``last`` is the container's latest start: it keeps when the next one comes."""
        if delay_s > 0:
            last.next_start_s = time.monotonic() + delay_s
        self._loop.later(delay_s, lambda: self._restart(last.pod.uid, container))

    def _restart(self, uid: str, container: Container) -> None:
        if (pod := self._pods.get(uid)) is None:
            return
        try:
            self.start_container(pod, next(c for c in pod.containers if c.name == container.name))
        except self.FAILURES as error:
            self.failed_starts.append(str(error))
            self._restart_after(
                backoff.FIRST_S * self._backoff_factor, self._starts(pod, container.name)[-1], container
            )

    def _report_later(self, pod: Pod) -> None:
        self._loop.later(self._delay_s, lambda: self._report(pod.uid))

    def _report(self, uid: str) -> None:
        if (pod := self._pods.get(uid)) is not None:
            self._publish(self.status(pod))

    # ---------------------------------------------------------------------------------------------------- tests' side

    def wait_for(self, condition: Callable[[], object], seconds: float) -> None:
        """Until the condition holds; an error when it doesn't in time, or when the kubelet itself has failed."""
        until = time.monotonic() + seconds
        while not condition():
            if self._loop.failure is not None:
                raise RuntimeError("the lab's kubelet failed") from self._loop.failure
            if time.monotonic() > until:
                raise TimeoutError(f"not so within {seconds} s; starts that failed: {self.failed_starts or 'none'}")
            time.sleep(0.02)

    def close(self) -> None:
        """End all at once and the thread, and close what it held open. The API is told nothing: the node is gone."""
        with self._lock:
            self._pods.clear()
            running = [i for i in self.instances if i.running]
            for pid in [*self._sandbox_pids.values(), *(i.pid for i in running)]:
                with suppress(ProcessLookupError):
                    send(pid)
            for instance in running:
                self._note_end(instance)
        self._remove_cgroup(self.driver.root)
        self._loop.close()
        self._forget_all()

    # -------------------------------------------------------------------- what differs with a real runtime (crikubelet)

    def _make_cgroup(self, path: str) -> None:
        cgroups.make(path)

    def _set_limit(self, path: str, limit_bytes: int) -> None:
        cgroups.set_limit(path, limit_bytes)

    def _remove_cgroup(self, path: str) -> None:
        cgroups.remove(path)

    def _start_sandbox(self, pod: Pod) -> str:
        sandbox_id = uuid.uuid4().hex + uuid.uuid4().hex
        folder = bundle(pod, PAUSE, sandbox_id, self.driver.process_path(pod, sandbox_id), group=False)
        pid = self._runtimes[pod.runtime].create(sandbox_id, folder)
        self._runtimes[pod.runtime].start(sandbox_id)
        self._loop.adopt(pid)
        self._sandbox_pids[pod.uid] = pid
        return sandbox_id

    def _remove_sandbox(self, pod: Pod) -> None:
        self._runtimes[pod.runtime].delete(self.sandboxes.pop(pod.uid))
        del self._sandbox_pids[pod.uid]

    def _start(self, pod: Pod, container: Container, restart: int) -> Instance:
        container_id = uuid.uuid4().hex + uuid.uuid4().hex
        path = self.driver.process_path(pod, container_id)
        folder = bundle(pod, container, container_id, path, group=self._group)
        runtime = self._runtimes[pod.runtime]
        began = time.monotonic()
        if self._systemd_writes:
            self._make_scope(self.driver.container_path(pod, container_id))
        pid = runtime.create(container_id, folder)
        inode = (MOUNT / path).stat().st_ino
        runtime.start(container_id)
        return Instance(pod, container.name, container_id, path, inode, pid, restart, began)

    @staticmethod
    def _make_scope(path: str) -> None:
        cgroups.make(path.rpartition("/")[0])
        (MOUNT / path).mkdir()
        for _ in range(2):
            (MOUNT / path / "memory.oom.group").write_text("0")

    def _watch(self, instance: Instance) -> None:
        self._loop.on_end(instance.pid, lambda: self._died(instance))

    def _update(self, instance: Instance, limit_bytes: int) -> None:
        self._runtimes[instance.pod.runtime].update(instance.container_id, limit_bytes, group=self._group)

    def _note_end(self, instance: Instance) -> None:
        exit_code = self._loop.exit_code(instance.pid)
        instance.events = memory_events(instance.path)
        instance.ended_s = time.monotonic()
        instance.exit_code = exit_code

    def _remove_container(self, instance: Instance) -> None:
        self._runtimes[instance.pod.runtime].delete(instance.container_id)
        cgroups.remove(self.driver.container_path(instance.pod, instance.container_id))

    def _forget_all(self) -> None:
        for runtime in self._runtimes.values():
            runtime.forget_all()
