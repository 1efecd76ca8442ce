"""A kubelet's stand-in: makes pods' cgroups, has real runtimes start real containers, restarts them, reports their status.

In what it does to cgroups it does as the kubelet: limits per pod and container, memory.oom.group 1 for each container by
the runtime, a pause sandbox beside them with 0, a new id and a new cgroup at each restart, back-off from 10 s doubling.
"""

from __future__ import annotations

import ctypes
import heapq
import itertools
import os
import selectors
import signal
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.lab.drivers import Driver
from tests.lab.runtime import Runtime, RuntimeFailedError, bundle
from tests.lab.spec import MIB, Container, Instance, Pod
from tests.lab.status import pod_object

MOUNT = Path("/sys/fs/cgroup")
PR_SET_CHILD_SUBREAPER = 36
PAUSE = Container("POD", ("pause",), limit_mib=None)
FIRST_BACKOFF_S = 10.0
MOST_BACKOFF_S = 300.0
Publish = Callable[[dict[str, object]], None]


def memory_events(path: str) -> dict[str, int]:
    """memory.events of a cgroup, {} when it is gone."""
    try:
        lines = (MOUNT / path / "memory.events").read_text().splitlines()
    except OSError:
        return {}
    return {key: int(value) for key, value in (line.split() for line in lines)}


def enable_controllers(path: Path) -> None:
    """Give the children of a cgroup memory, cpu and pids."""
    have = (path / "cgroup.controllers").read_text().split()
    (path / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in ("memory", "cpu", "pids") if c in have))


class Kubelet:
    """``publish`` and ``remove`` get pod objects as the API would store them; ``status_delay_s`` is how late."""

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
    ) -> None:
        self.node_name = node_name
        self.driver = driver
        self.instances: list[Instance] = []
        self.sandboxes: dict[str, str] = {}  # pod uid → sandbox id
        self._publish = publish
        self._remove = remove
        self._delay_s = status_delay_s
        self._backoff_factor = backoff_factor
        self._group = not single_process_oom_kill
        self._pods: dict[str, Pod] = {}
        self._runtimes = {name: Runtime(name) for name in ("runc", "crun")}
        self._lock = threading.RLock()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._stopping = False
        self.failure: BaseException | None = None
        # Containers' PID 1 become our children when the runtime's command ends: so we learn how they exit.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._make(self.driver.root)
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        self._thread.start()

    # --------------------------------------------------------------------------------------------------------- pods

    def run_pod(self, pod: Pod) -> list[Instance]:
        """Admit a pod: the API knows it first, then its cgroup, its sandbox, and its containers in the kubelet's order."""
        with self._lock:
            self._pods[pod.uid] = pod
            self._publish(self.status(pod))
            self._make(self.driver.pod_path(pod))
            limit = pod.limit_mib or self._sum_of_limits(pod)
            if limit:
                (MOUNT / self.driver.pod_path(pod) / "memory.max").write_text(str(limit * MIB))
            self.sandboxes[pod.uid] = self._start_sandbox(pod)
        order = {"sidecar": 0, "initContainers": 0, "containers": 1, "ephemeralContainers": 2}
        started = []
        for container in sorted(pod.containers, key=lambda c: order[c.kind]):
            started.append(instance := self.start_container(pod, container))
            if container.kind == "initContainers":
                self.wait_for(lambda i=instance: not i.running, 30.0)  # type: ignore[misc]
        return started

    def delete_pod(self, pod: Pod) -> None:
        """Kill what runs, remove the cgroups, tell the API."""
        with self._lock:
            del self._pods[pod.uid]
            for instance in self._running(pod):
                self._end(instance, by=signal.SIGKILL)
            self._runtimes[pod.runtime].delete(self.sandboxes.pop(pod.uid))
            self._rmdir(self.driver.pod_path(pod))
        self._remove(self.status(pod))

    def relabel(self, pod: Pod, **changes: dict[str, str]) -> Pod:
        """Other labels or annotations for a running pod; returns the pod as it is now."""
        changed = Pod(**{name: changes.get(name, getattr(pod, name)) for name in Pod.__slots__})
        with self._lock:
            self._pods[pod.uid] = changed
            for instance in self.instances:
                if instance.pod.uid == pod.uid:
                    instance.pod = changed
        self._publish(self.status(changed))
        return changed

    def status(self, pod: Pod) -> dict[str, object]:
        """The pod's object as the API would have it now."""
        return pod_object(pod, self.node_name, [i for i in self.instances if i.pod.uid == pod.uid])

    def _sum_of_limits(self, pod: Pod) -> int | None:
        limits = [c.limit_mib for c in pod.containers if c.kind in ("containers", "sidecar")]
        return sum(limit for limit in limits if limit) if limits and all(limits) else None

    # --------------------------------------------------------------------------------------------------- containers

    def start_container(self, pod: Pod, container: Container) -> Instance:
        """One start: a new id, a new cgroup; its status follows late."""
        container_id = uuid.uuid4().hex + uuid.uuid4().hex
        path = self.driver.process_path(pod, container_id)
        folder = bundle(pod, container, container_id, path, group=self._group)
        runtime = self._runtimes[pod.runtime]
        began = time.monotonic()
        pid = runtime.create(container_id, folder)
        instance = Instance(
            pod,
            container.name,
            container_id,
            path,
            (MOUNT / path).stat().st_ino,
            pid,
            self._restarts(pod, container.name),
            began,
        )
        runtime.start(container_id)
        with self._lock:
            self.instances.append(instance)
            self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, instance)
            os.eventfd_write(self._wake, 1)
        self._report_later(pod)
        return instance

    def execute(self, instance: Instance, *arguments: str) -> None:
        """A further process in a running container (kubectl exec)."""
        self._runtimes[instance.pod.runtime].execute(instance.container_id, "/hog", *arguments)

    def first_look(self, instance: Instance) -> str:
        """memory.oom.group as the container saw it at its first instruction: ``0``, ``1`` or ``none``."""
        path = Path("/run/oomward-lab/bundles") / instance.container_id / "out" / "first"
        self.wait_for(lambda: path.exists() and path.read_text().endswith("\n"), 30.0)
        return path.read_text().split()[0]

    def _start_sandbox(self, pod: Pod) -> str:
        sandbox_id = uuid.uuid4().hex + uuid.uuid4().hex
        path = self.driver.process_path(pod, sandbox_id)
        folder = bundle(pod, PAUSE, sandbox_id, path, group=False)
        self._runtimes[pod.runtime].create(sandbox_id, folder)
        self._runtimes[pod.runtime].start(sandbox_id)
        return sandbox_id

    def _restarts(self, pod: Pod, name: str) -> int:
        return sum(1 for i in self.instances if i.pod.uid == pod.uid and i.container == name)

    def _running(self, pod: Pod) -> list[Instance]:
        return [i for i in self.instances if i.pod.uid == pod.uid and i.running]

    def running(self, pod: Pod, name: str) -> Instance:
        """The instance of a container that runs now."""
        return next(i for i in self._running(pod) if i.container == name)

    # ------------------------------------------------------------------------------------------------- death, status

    def _end(self, instance: Instance, by: int | None = None) -> None:
        """PID 1 is gone (or goes now): note how, remove the container and its cgroup."""
        if not instance.running:
            return
        if by is not None:
            with suppress(ProcessLookupError):
                os.kill(instance.pid, by)
        _, code = os.waitpid(instance.pid, 0)
        instance.events = memory_events(instance.path) or instance.events
        instance.exit_code = os.waitstatus_to_exitcode(code)
        if instance.exit_code < 0:
            instance.exit_code = 128 - instance.exit_code
        instance.ended_s = time.monotonic()
        self._runtimes[instance.pod.runtime].delete(instance.container_id)
        self._rmdir(self.driver.container_path(instance.pod, instance.container_id))

    def _died(self, instance: Instance, fd: int) -> None:
        self._selector.unregister(fd)
        os.close(fd)
        if not instance.running:
            return
        self._end(instance)
        pod = self._pods.get(instance.pod.uid)
        if pod is None:
            return
        self._report_later(pod)
        container = next(c for c in pod.containers if c.name == instance.container)
        again = pod.restart_policy == "Always" or (pod.restart_policy == "OnFailure" and instance.exit_code != 0)
        if container.kind == "sidecar" or (
            again and container.kind in ("containers", "initContainers" if instance.exit_code else "")
        ):
            self._later(self._backoff_s(instance), lambda: self._restart(pod, container))

    def _backoff_s(self, instance: Instance) -> float:
        """The first restart comes at once, then 10 s, 20 s … 300 s (kubelet's back-off; reset after 10 minutes of running)."""
        if instance.restart == 0:
            return 0.0
        return float(min(MOST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (instance.restart - 1)) * self._backoff_factor)

    def _restart(self, pod: Pod, container: Container) -> None:
        if pod.uid in self._pods:
            self.start_container(self._pods[pod.uid], container)

    def _report_later(self, pod: Pod) -> None:
        self._later(self._delay_s, lambda: self._report(pod.uid))

    def _report(self, uid: str) -> None:
        if (pod := self._pods.get(uid)) is not None:
            self._publish(self.status(pod))

    # ---------------------------------------------------------------------------------------------------- the thread

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        with self._lock:
            heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), what))
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        try:
            while not self._stopping:
                wait = self._timers[0][0] - time.monotonic() if self._timers else None
                for key, _ in self._selector.select(None if wait is None else max(0.0, wait)):
                    if isinstance(key.data, Instance):
                        with self._lock:
                            self._died(key.data, key.fd)
                    else:
                        with suppress(BlockingIOError):
                            os.eventfd_read(self._wake)
                self._fire()
        except BaseException as error:
            self.failure = error
            raise

    def _fire(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            with self._lock:
                _, _, what = heapq.heappop(self._timers)
                what()

    def wait_for(self, condition: Callable[[], object], seconds: float) -> None:
        """Until the condition holds; an error when it doesn't in time, or when the kubelet itself has failed."""
        until = time.monotonic() + seconds
        while not condition():
            if self.failure is not None:
                raise RuntimeError("the lab's kubelet failed") from self.failure
            if time.monotonic() > until:
                raise TimeoutError(f"not so within {seconds} s")
            time.sleep(0.02)

    def close(self) -> None:
        """End all pods and the thread."""
        for pod in list(self._pods.values()):
            with suppress(RuntimeFailedError):
                self.delete_pod(pod)
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(10)
        self._rmdir(self.driver.root)

    # ------------------------------------------------------------------------------------------------------ cgroups

    def _make(self, path: str) -> None:
        enable_controllers(MOUNT)
        at = MOUNT
        for part in path.split("/"):
            at /= part
            at.mkdir(exist_ok=True)
            enable_controllers(at)

    def _rmdir(self, path: str) -> None:
        """Remove a cgroup and those below it, the deepest first; processes just killed take a moment to leave."""
        top = MOUNT / path
        until = time.monotonic() + 5
        while top.exists():
            below = sorted((p for p in top.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts))
            for folder in [*below, top]:
                with suppress(FileNotFoundError, OSError):
                    folder.rmdir()
            if time.monotonic() > until:
                raise TimeoutError(f"cgroup {path} can't be removed")
