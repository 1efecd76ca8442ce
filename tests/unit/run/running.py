"""``agent.run.run`` in the main thread of the test, as the process has it, on ordinary directories and against the API's stand-in.

What a test does beside it runs in a thread of its own; what it says is wrong is raised when the agent has ended.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from agent import run as program
from agent.cgroup.files import CgroupFiles
from agent.kernel import scheduling
from agent.kernel.scheduling import SchedulingClass
from agent.settings import Settings, load
from tests.lab.apiserver import ApiServer
from tests.lab.pages import page
from tests.unit.cgroup.fakes import make
from tests.unit.patience import PATIENCE_S, wait_until

NODE = "node-1"


def reserved_port() -> socket.socket:
    """A socket that keeps a port for an agent of this test: the agent may listen there beside it, and nobody else is given it."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept


class Agent:
    """``work`` holds mount, state, log and kubeconfig; a second agent on the same one finds what the first left."""

    def __init__(self, work: Path, api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.work = work
        self.mount = work / "mount"
        self.kmsg = work / "kmsg"
        self._reserved = reserved_port()
        self.port = int(self._reserved.getsockname()[1])
        if not self.mount.exists():
            self.mount.mkdir()
            (self.mount / "cgroup.controllers").write_text("cpu memory\n")
            os.mkfifo(self.kmsg)
        self._log = os.open(self.kmsg, os.O_RDWR | os.O_NONBLOCK)  # so that it has a writer all the time
        api.write_kubeconfig(work / "kubeconfig")
        self.scheduling_class = SchedulingClass.NICE
        self.raised_in: list[str] = []
        monkeypatch.setattr(program, "CgroupFiles", partial(CgroupFiles, check_magic=False))
        monkeypatch.setattr(scheduling, "raise_priority", self._raise_priority)

    def _raise_priority(self) -> SchedulingClass:
        """Tests are no agents: they stay as they are."""
        self.raised_in.append(threading.current_thread().name)
        return self.scheduling_class

    def settings(self, **flags: object) -> Settings:
        said: dict[str, object] = {
            "node_name": NODE,
            "kubeconfig": str(self.work / "kubeconfig"),
            "cgroup_mount": str(self.mount),
            "kmsg": str(self.kmsg),
            "state_dir": str(self.work / "state"),
            "listen": f"127.0.0.1:{self.port}",
            "log_format": "json",
            "nri_socket": "/nonexistent/nri.sock",  # this machine's runtime is not the tests'
        }
        return load(said | flags, {})

    def run(self, meanwhile: Callable[[], None], **flags: object) -> int:
        """Run it until ``meanwhile`` is done and SIGTERM came. Raises what either raises, the agent's own first."""
        failed: list[BaseException] = []
        over = threading.Event()

        def beside() -> None:
            try:
                meanwhile()
            except BaseException as error:  # noqa: BLE001 - raised in the test thread below
                failed.append(error)
            if not over.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

        thread = threading.Thread(target=beside)
        with _process_left_as_it_was():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one that comes too early must not end the tests
            thread.start()
            try:
                code = program.run(self.settings(**flags))
            finally:
                over.set()
                thread.join(PATIENCE_S)
        if failed:
            raise failed[0]
        return code

    def make(self, path: str, knob: int = 0) -> None:
        """The runtime makes a cgroup and writes the kubelet's value."""
        make(self.mount, path)
        with (self.mount / path / "memory.oom.group").open("r+") as file:
            file.write(f"{knob}\n")

    def logs(self, records: bytes) -> None:
        """The kernel's log has more."""
        os.write(self._log, records)

    def close(self) -> None:
        os.close(self._log)
        self._reserved.close()

    def knob(self, path: str) -> str:
        return (self.mount / path / "memory.oom.group").read_text().strip()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 when nobody answers."""
        return page(self.port, path)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for the condition; fails after PATIENCE_S."""
        wait_until(condition, what)

    def ready(self) -> None:
        self.until(lambda: self.get("/readyz")[0] == 200, "ready")


@contextmanager
def _process_left_as_it_was() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCONT)}
    interval = sys.getswitchinterval()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.setswitchinterval(interval)
