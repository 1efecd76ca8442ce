"""Which pods of the node fail now, and why: diagnoses them, and passes the diagnoses to the metric and the Events.

Owns the pods as last put and the kills of the last hour. Some diagnoses appear or disappear by time alone, so all pods are
diagnosed again once a minute.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable

from agent.diagnose import diagnose
from agent.diagnose.table_ends import RESTART
from agent.metrics.metrics import Metrics
from agent.model import OomKill, Outcome, Pod
from agent.model.diagnosis import Diagnosis, NodeFacts

LOOK_EVERY_S = 60.0
HOUR_S = 3600.0
MOST_KILLS = 100  # of one pod that are kept: the newest
KILLS_SO_FAR = re.compile(r"(?:: | with )\d+ kills? in an hour")
OF_KILLS = "oom"  # in the names of rules that advise about a kill


class Failing:
    """``unix_s`` is the wall clock; ``kills`` are the ledger's of the last hour."""

    def __init__(self, metrics: Metrics, unix_s: Callable[[], float], kills: Iterable[OomKill]) -> None:
        self._metrics = metrics
        self._unix_s = unix_s
        self._pods: dict[str, Pod] = {}
        self._kills: dict[str, deque[OomKill]] = {}
        self._found: dict[str, tuple[Diagnosis, ...]] = {}
        self._look_at_s = 0.0
        for kill in sorted(kills, key=lambda kill: kill.at_unix_s):
            self.settled(kill)

    def put(self, pod: Pod) -> None:
        """A pod as it is now."""
        self._pods[pod.uid] = pod
        self._judge(pod.uid)

    def gone(self, uid: str) -> None:
        """The API no longer has this pod."""
        self._pods.pop(uid, None)
        self._kills.pop(uid, None)
        self._show(uid, ())

    def settled(self, kill: OomKill) -> None:
        """A kill with a known outcome."""
        if kill.pod_uid is not None:
            self._kills.setdefault(kill.pod_uid, deque(maxlen=MOST_KILLS)).append(kill)
            self._judge(kill.pod_uid)

    def advice(self, kill: OomKill) -> str | None:
        """What to do about the container; None: no diagnosis is about such kills (yet).

        One that died need not be restarted. Without the number of kills, which changes while the Event counts more.
        """
        uid = kill.pod_uid or ""
        newest = next((one for one in reversed(self._kills.get(uid, ())) if one.container == kill.container), None)
        if newest is None or newest.scope is not kill.scope:
            return None  # the diagnosis is about another limit
        found = self._found.get(uid, ())
        fitting = (d.advice for d in found if d.container == kill.container and OF_KILLS in d.rule)
        advice = next((KILLS_SO_FAR.sub("", text) for text in fitting), None)
        return advice.removesuffix(RESTART) if advice is not None and kill.outcome is Outcome.DIED else advice

    def look(self, now_s: float, between: Callable[[], None]) -> None:
        """All pods again, if it is time. ``between`` is called before each."""
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_EVERY_S
        for uid in list(self._pods):
            between()
            self._judge(uid)
        oldest = self._unix_s() - HOUR_S
        self._kills = {uid: kills for uid, kills in self._kills.items() if kills[-1].at_unix_s > oldest}

    def _judge(self, uid: str) -> None:
        pod = self._pods.get(uid)
        if pod is not None:
            self._show(uid, diagnose(pod, tuple(self._kills.get(uid, ())), NodeFacts(self._unix_s())))

    def _show(self, uid: str, found: tuple[Diagnosis, ...]) -> None:
        if found:
            self._found[uid] = found
        else:
            self._found.pop(uid, None)
        self._metrics.pod_failures(uid, {(d.namespace, d.pod, d.category.value) for d in found})
