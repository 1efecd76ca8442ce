"""What each message of the pod watch does: to the registry, to the modes of the pod's containers, to who fails; and who left.

Compares nothing and decides nothing itself: the watch says what changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.diagnose.failing import Failing
from agent.ledger import Ledger
from agent.metrics.metrics import Metrics
from agent.model import Pod, PodChanged, PodDeleted, PodSkipped, PodsListed, WatchTrouble
from agent.modes.controller import ModeController
from agent.pods.registry import Registry
from agent.wording.logs import log

logger = logging.getLogger("oomward")
QUIET = ("timeout", "relist")  # reasons of a watch's end that are nobody's trouble

PodMessage = PodsListed | PodChanged | PodDeleted | PodSkipped | WatchTrouble


class Pods:
    """Reactions to the pod watch."""

    def __init__(
        self, registry: Registry, holding: ModeController, ledger: Ledger, failing: Failing, metrics: Metrics
    ) -> None:
        self._registry = registry
        self._modes = holding
        self._ledger = ledger
        self._failing = failing
        self._metrics = metrics

    def message(self, message: PodMessage, now_s: float, between: Callable[[], None]) -> None:
        """One message. ``between`` is called between the steps of a long one."""
        match message:
            case PodsListed():
                self._listed(message, now_s, between)
            case PodChanged():
                self._changed(message, now_s, between)
            case PodDeleted(uid):
                self._registry.depart(uid, now_s)
                self._left(uid, now_s)
            case PodSkipped(what, why):
                self._metrics.pods_skipped.inc()
                log(logger, logging.WARNING, f"{what} could not be read and is left as it was: {why}")
            case WatchTrouble(reason, detail):
                self._metrics.pod_watch_restarts.labels(reason).inc()
                if detail:
                    level = logging.DEBUG if reason in QUIET else logging.WARNING
                    log(logger, level, detail, reason=reason)

    def _listed(self, message: PodsListed, now_s: float, between: Callable[[], None]) -> None:
        for uid in self._registry.replace(message.pods, message.skipped, now_s):
            self._left(uid, now_s)
        for pod in message.pods:
            between()
            self._decide(pod, now_s, between)
            self._modes.check_asked(pod)
            self._failing.put(pod)

    def _changed(self, message: PodChanged, now_s: float, between: Callable[[], None]) -> None:
        pod = message.pod
        self._registry.put(pod, now_s)
        if message.decides:
            self._decide(pod, now_s, between)
        if message.asks:
            self._modes.check_asked(pod)
        self._failing.put(pod)

    def rules_changed(self, between: Callable[[], None]) -> None:
        """What pods ask for may count now, or no longer."""
        for pod in self._registry.pods.values():
            between()
            self._modes.check_asked(pod)

    def _decide(self, pod: Pod, now_s: float, between: Callable[[], None]) -> None:
        self._registry.forget_remembered(pod.cgroup_key)
        self._modes.pod_changed(pod, now_s, between)
        kept = self._modes.decisions(pod)
        if kept is not None:
            self._ledger.keep_decisions(pod.uid, kept)

    def _left(self, uid: str, now_s: float) -> None:
        self._failing.gone(uid)
        pod = self._registry.pods.get(uid)
        if pod is not None:
            for container in pod.containers:
                self._metrics.container_gone(pod.namespace, pod.name, container.name, now_s)
