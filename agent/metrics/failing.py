"""The series of pods that fail, in bounded room that namespaces share."""

from __future__ import annotations

import logging

from prometheus_client import Gauge

from agent.metrics.room import Room
from agent.wording.logs import Once, log

logger = logging.getLogger("oomward")

MOST_FAILING = 1000  # pods that have series of their failures


class FailingPods:
    """``gauge`` is 1 for each failure (namespace, pod, category) of a pod that has a place."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._failures: dict[str, set[tuple[str, str, str]]] = {}
        self._room = Room()
        self._said = Once(86_400.0)

    def put(self, uid: str, failures: set[tuple[str, str, str]]) -> None:
        """All current failures of a pod, by namespace, name and category; they replace those of the same uid."""
        if not failures:
            self._room.leave(uid)
        elif (crowded := self._room.enter(uid, min(failures)[0], MOST_FAILING)) is not None:
            if self._said.due("") is not None:
                text = (
                    f"the failures of {MOST_FAILING} pods have series: some of the namespaces with the most have none"
                )
                log(logger, logging.WARNING, text)
            self._replace(crowded, set())
            failures = failures if crowded != uid else set()
        self._replace(uid, failures)

    def _replace(self, uid: str, failures: set[tuple[str, str, str]]) -> None:
        before = self._failures.pop(uid, set())
        if failures:
            self._failures[uid] = failures
        gone = before - failures
        others = set().union(*(one for other, one in self._failures.items() if other != uid)) if gone else set()
        for labels in before - failures - others:
            self._gauge.remove(*labels)
        for labels in failures:
            self._gauge.labels(*labels).set(1)
