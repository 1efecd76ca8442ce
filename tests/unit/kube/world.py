"""The API's stand-in over loopback, and a client of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from agent.kube.api import Api, connect
from agent.model import Message
from agent.pods.watch import PodWatch
from tests.lab.apiserver import ApiServer
from tests.unit.patience import PATIENCE_S

M = TypeVar("M")
NODE = "node-1"


def pod_json(name: str = "herder-1", uid: str = "uid-1", **changes: Any) -> dict[str, Any]:
    """A pod as the API has it."""
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid,
            "labels": changes.get("labels", {}),
            "annotations": changes.get("annotations", {}),
        },
        "spec": {"nodeName": changes.get("node", NODE), "containers": [{"name": "herder"}]},
        "status": {"phase": changes.get("phase", "Running")},
    }


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer(bookmark_s=0.05, history=20)
    server.start()
    yield server
    server.close()


@pytest.fixture
def api(server: ApiServer, tmp_path: Path) -> Api:
    server.write_kubeconfig(tmp_path / "kubeconfig")
    return connect(tmp_path / "kubeconfig", user_agent="oomward/test (node node-1)")


class Inbox:
    """Where a thread's messages arrive."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self.seen: list[Message] = []

    def next(self, kind: type[M], such: Callable[[M], bool] = lambda _: True) -> M:
        """The next message of a kind; others are passed over. Raises queue.Empty after PATIENCE_S without any."""
        while True:
            message = self.messages.get(timeout=PATIENCE_S)
            self.seen.append(message)
            if isinstance(message, kind) and such(message):
                return message


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Waits:
    """Stands for waiting between tries: notes how long, and lets no time pass."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def watch(api: Api, server: ApiServer, inbox: Inbox, waits: Waits) -> Iterator[PodWatch]:
    """A pod watch that runs in its thread once its test has started it."""
    stop = threading.Event()
    watch = PodWatch(api, NODE, inbox.messages.put, stop=stop, wait=waits, rand=lambda: 0.5)
    thread = threading.Thread(target=watch.run, daemon=True)
    watch.start = thread.start  # type: ignore[attr-defined]
    yield watch
    stop.set()
    server.close()
    if thread.ident is not None:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the watch ends once it is stopped and its connection is gone"
