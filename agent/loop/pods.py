"""What each message of the pod watch changes: the registry, the modes of the pod's containers, the failing pods, the series; and whether
the node's name is right.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent.diagnose.failing import Failing
from agent.ledger import Ledger
from agent.loop.node_name import NodeName
from agent.metrics.metrics import Metrics
from agent.model import Pod, PodChanged, PodsListed, WatchTrouble
from agent.modes.controller import ModeController
from agent.pods.registry import Registry
from agent.pods.watch import QUIET
from agent.wording.logs import log

logger = logging.getLogger("oomward")


@dataclass(eq=False)
class Pods:
    """``between``, where a method has it, is called between the steps of its work."""

    registry: Registry
    modes: ModeController
    ledger: Ledger
    failing: Failing
    metrics: Metrics
    name: NodeName

    def listed(self, message: PodsListed, now_s: float, between: Callable[[], None]) -> None:
        for uid in self.registry.replace(message.pods, message.skipped, now_s):
            self.left(uid, now_s)
        for pod in message.pods:
            between()
            self._decide(pod, now_s, between)
            self.modes.check_settings(pod)
            self.failing.put(pod)
        self._check_name(now_s, listed=True)

    def _check_name(self, now_s: float, *, listed: bool = False) -> None:
        before = self.name.wrong
        self.name.check(self.modes.containers(), now_s, listed=listed)
        if self.name.wrong is not None and before is None:
            log(logger, logging.ERROR, self.name.wrong)

    def changed(self, message: PodChanged, now_s: float, between: Callable[[], None]) -> None:
        pod = message.pod
        self.registry.put(pod, now_s)
        if message.decides:
            self._decide(pod, now_s, between)
        if message.asks:
            self.modes.check_settings(pod)
        self.failing.put(pod)
        if self.name.wrong is not None:
            self._check_name(now_s)

    def _decide(self, pod: Pod, now_s: float, between: Callable[[], None]) -> None:
        self.registry.forget_remembered(pod.cgroup_key)
        self.modes.pod_changed(pod, now_s, between)
        self.keep_decisions(pod)

    def keep_decisions(self, pod: Pod) -> None:
        """Into the ledger, for a start without the API."""
        if (kept := self.modes.decisions(pod)) is not None:
            self.ledger.keep_decisions(pod.uid, kept)

    def trouble(self, message: WatchTrouble) -> None:
        self.metrics.pod_watch_restarts.labels(message.reason).inc()
        if message.reason not in QUIET:
            self.name.trouble()
        if message.detail:
            level = logging.DEBUG if message.reason in QUIET else logging.WARNING
            log(logger, level, message.detail, reason=message.reason)

    def left(self, uid: str, now_s: float) -> None:
        self.registry.depart(uid, now_s)
        self.failing.gone(uid)
        if (pod := self.registry.pods.get(uid)) is not None:
            for container in pod.containers:
                self.metrics.container_gone(pod.namespace, pod.name, container.name, now_s)

    def housekeeping(self, now_s: float, between: Callable[[], None]) -> None:
        for uid in self.registry.forget_departed(now_s):
            self.ledger.forget_pod(uid)
            self.modes.notices.forget(uid)
        self._check_name(now_s)
        self.failing.look(now_s, between)
        self.ledger.forget_totals(self.metrics.drop_stale(now_s, between))
