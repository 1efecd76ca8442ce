"""The kubelet of this soak: containerd may be restarted under it, and it notes what the kernel counted for each pod."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc

from tests.lab.cgroups import memory_events
from tests.lab.containerd import Containerd
from tests.lab.cri import Cri
from tests.lab.crikubelet import CriKubelet
from tests.lab.spec import Instance, Pod
from tests.lab.systemd import InTreeError

PATIENCE_S = 60.0
PAUSE_S = 0.2
EXEC_S = 20


def killed(events: dict[str, int]) -> tuple[int, int]:
    """Processes killed, at least and at most: the kernel may count the first of a group kill twice."""
    most = events.get("oom_kill", 0)
    return most - events.get("oom_group_kill", 0), most


class Gate:
    """Many pass at once; while it is shut none is in between, and who comes waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._passing = 0
        self._shut = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._shut)
            self._passing += 1
        try:
            yield
        finally:
            with self._changed:
                self._passing -= 1
                self._changed.notify_all()

    @contextmanager
    def shut(self) -> Iterator[None]:
        with self._changed:
            self._shut = True
            self._changed.wait_for(lambda: not self._passing)
        try:
            yield
        finally:
            with self._changed:
                self._shut = False
                self._changed.notify_all()


class GatedCri(Cri):
    """No call is under way while containerd is restarted: what becomes of one is containerd's, not the agent's."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def __call__(self, method: str, **fields: Any) -> Any:
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self._gate.passing():
                    return super().__call__(method, **fields)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > until_s:
                    raise
                time.sleep(PAUSE_S)  # it connects again


class SoakKubelet(CriKubelet):
    """``counted`` has memory.events of the slice of each pod that was deleted, by uid; ``sandbox_ids`` those of all sandboxes ever."""

    FAILURES = (grpc.RpcError, InTreeError)

    def __init__(self, node_name: str, driver: str, **options: Any) -> None:
        self.gate = Gate()
        self.counted: dict[str, dict[str, int]] = {}
        self.deleted_s: dict[str, float] = {}  # CLOCK_MONOTONIC, by uid
        self.least: dict[str, int] = {}  # processes killed some time before a pod's deletion, by uid
        self.sandbox_ids: set[str] = set()
        containerd = Containerd(driver)
        containerd.cri.close()
        containerd.cri = GatedCri(self.gate)
        super().__init__(node_name, driver, containerd, **options)

    def restart_containerd(self) -> None:
        """As ``systemctl restart``; containers keep running."""
        with self.gate.shut():
            self.containerd.restart_unit()

    def execute(self, instance: Instance, *arguments: str) -> int:
        """Does not wait for its end; the pid is not known, 0."""
        threading.Thread(target=self._execute, args=(instance.container_id, ("/hog", *arguments)), daemon=True).start()
        return 0

    def note_counted(self, pod: Pod) -> None:
        """What its slice has counted so far: an agent has the time to count it as well."""
        self.least[pod.uid] = killed(memory_events(self.driver.pod_path(pod)))[0]

    def delete_pod(self, pod: Pod) -> None:
        self.deleted_s[pod.uid] = time.monotonic()
        super().delete_pod(pod)

    def _execute(self, container_id: str, command: tuple[str, ...]) -> None:
        cri = Cri()
        with suppress(grpc.RpcError):  # it was killed, most of the time
            cri("ExecSync", container_id=container_id, cmd=command, timeout=EXEC_S)
        cri.close()

    def _start_sandbox(self, pod: Pod) -> str:
        sandbox_id = super()._start_sandbox(pod)
        self.sandbox_ids.add(sandbox_id)
        return sandbox_id

    def _remove_cgroup(self, path: str) -> None:
        """All containers of the pod have ended, so its slice has counted all kills."""
        for uid in [pod_uid for pod_uid in self.deleted_s if pod_uid not in self.counted]:
            if uid.replace("-", "_") in Path(path).name:
                self.counted[uid] = memory_events(path)
        super()._remove_cgroup(path)
