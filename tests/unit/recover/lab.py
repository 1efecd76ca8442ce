"""The controller against the API's stand-in: replicas, what the watches know, kubelets and controllers as reactors."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.kube.api import Api, connect
from agent.metrics.recover import RecoverMetrics
from agent.model.recover import ENABLED_LABEL, RecoverConfig
from agent.recover.cluster import Cluster
from agent.recover.controller import Controller
from agent.recover.history import History, parse_history
from agent.recover.journal import Journal
from agent.recover.reporter import Reporter
from tests.lab.apiserver import ApiServer
from tests.lab.recover_admission import RecoverAdmission
from tests.unit.recover.pods import NOW, REAL

Json = dict[str, Any]
Hook = Callable[[str, str], None]
HOME = "oomward"
NO_HOOK: Hook = lambda _method, _path: None  # noqa: E731


class KilledError(BaseException):
    """``kill -9``: nothing after it runs."""


@dataclass
class Lab:
    """``now`` is everybody's clock. Replicas are made by ``replica``; each sees the cluster as it is, or as
    ``old_pods`` and ``old_spaces`` have it.
    """

    server: ApiServer
    folder: Path
    now: float = NOW
    config: RecoverConfig = REAL
    leading: dict[str, bool] = field(default_factory=dict)
    apis: list[Api] = field(default_factory=list)
    metrics: dict[str, RecoverMetrics] = field(default_factory=dict)  # by replica
    old_pods: list[Json] | None = None  # what a watch that is behind shows; None: it is not
    old_spaces: list[Json] | None = None

    def replica(
        self,
        name: str = "a",
        before_write: Hook = NO_HOOK,
        after_write: Hook = NO_HOOK,
        before: Hook = NO_HOOK,
        after: Hook = NO_HOOK,
    ) -> Controller:
        """A controller. The hooks are called around each of its requests, or of those that write, and may raise KilledError."""
        self.server.write_kubeconfig(self.folder / f"kubeconfig-{name}")
        api = connect(self.folder / f"kubeconfig-{name}", user_agent=f"oomward/test ({name})")
        self.leading.setdefault(name, True)
        self.apis.append(api)
        send = api.request

        def request(method: str, path: str, *args: Any, **more: Any) -> Any:
            before(method, path)
            if method != "GET":
                before_write(method, path)
            answer = send(method, path, *args, **more)
            try:
                after(method, path)
                if method != "GET":
                    after_write(method, path)
            except BaseException:
                answer.close()
                raise
            return answer

        api.request = request  # type: ignore[method-assign]
        metrics = self.metrics[name] = RecoverMetrics(process_metrics=False)
        cluster = Cluster(api, lambda: self.leading[name])
        reporter = Reporter(cluster, metrics, name)
        return Controller(
            self.config,
            lambda: self.pods() if self.old_pods is None else self.old_pods,
            lambda: self.spaces() if self.old_spaces is None else self.old_spaces,
            self.events,
            cluster,
            Journal(api, HOME, lambda: self.leading[name]),
            reporter,
            metrics,
            lambda: self.leading[name],
        )

    def pods(self) -> list[Json]:
        return copy.deepcopy(list(self.server.store.pods.values()))

    def spaces(self) -> list[Json]:
        return [obj for key, obj in self.server.objects.stored.items() if key[1] == "namespaces"]

    def events(self) -> list[Json]:
        """The agents' Events."""
        return [one for one in self.server.events if one["reportingController"] == "oomward.dev/agent"]

    def put(self, *pods: Json) -> None:
        for one in pods:
            self.server.put_pod(one)

    def open(self, namespace: str = "shop", **annotations: str) -> None:
        metadata = {
            "name": namespace,
            "labels": {ENABLED_LABEL: "true"},
            "annotations": annotations,
        }
        self.server.objects.stored["/api/v1", "namespaces", "", namespace] = {"metadata": metadata}

    def pod(self, name: str = "app-1") -> Json:
        return self.server.store.pods["shop", name]

    def change(self, name: str, change: Callable[[Json], None]) -> None:
        """As a kubelet or a user does."""
        raw = copy.deepcopy(self.pod(name))
        change(raw)
        self.server.put_pod(raw)

    @property
    def history(self) -> History:
        found = self.server.objects.stored.get(("/api/v1", "configmaps", HOME, "oomward-recover"))
        return History() if found is None else parse_history(found["data"]["journal.json"])

    @property
    def notes(self) -> list[str]:
        """Reasons and texts of the controller's Events, oldest first."""
        return [
            f"{one['reason']}: {one['note']}"
            for one in self.server.events
            if one["reportingController"] == "oomward.dev/recover"
        ]

    def writes(self, part: str) -> int:
        """How many writes with this in their path succeeded or not."""
        return sum(part in one.path and one.verb in ("create", "patch", "update") for one in self.server.requests)


@contextmanager
def fresh_lab(folder: Path) -> Iterator[Lab]:
    """A cluster of its own, with an opened namespace, under the admission policies."""
    server = ApiServer(bookmark_s=0.05)
    server.start()
    made = Lab(server, folder)
    made.open()
    server.objects.admission.append(RecoverAdmission(server))
    yield made
    server.close()
    for api in made.apis:
        api._endpoint.pool.clear()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with fresh_lab(tmp_path) as made:
        yield made


class Counted:
    """Kills the process at its n-th write."""

    def __init__(self, at: int) -> None:
        self.at, self.seen, self.lock = at, 0, threading.Lock()

    def __call__(self, method: str, path: str) -> None:
        with self.lock:
            self.seen += 1
            if self.seen == self.at:
                raise KilledError(f"{method} {path}")
