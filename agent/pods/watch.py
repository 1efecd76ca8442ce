"""The pod watch: one list, then one watch, forever; what changed goes to the loop as messages.

A thread's body. Three nested loops as it were: forever → until it must list again → one request. Touches no state of the loop.
Never goes back in time: a list is at least as new as what was seen before, whichever API server answers it.
Words for WatchTrouble.reason: ``timeout``, ``gone``, ``refused``, ``unreachable``, ``error``, ``short``, ``relist``; the first and the
last are normal.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agent.kube.api import Answer, Api, ApiError, ApiRefusedError, ApiSilentError, ApiUnreachableError, decoded
from agent.kube.backoff import Backoff
from agent.model import Message, Pod, PodChanged, PodDeleted, PodSkipped, WatchTrouble
from agent.pods.list import (
    ANY_VERSION,
    MOST_POD_BYTES,
    NEWEST,
    PATH,
    UnbelievableListError,
    list_pods,
    name_of,
    pods_query,
    uid_of,
)
from agent.pods.parse import UnreadablePodError, parse_pod

WATCH_S = 300.0  # asked of the server, with jitter up to twice that
READ_S = 120.0  # nothing for that long, not even a bookmark (one a minute): a half-open connection
SHORT_S = 5.0  # a watch that lasted this long worked: the back-off starts again; after one that ended sooner it goes on
RELIST_S = 1200.0  # a full list as a safety net, with jitter
MOST_LINE_BYTES = MOST_POD_BYTES + 1000
GONE = 410
CHANGES = ("ADDED", "MODIFIED", "DELETED")
QUIET = ("timeout", "relist")  # normal: said each time, and nothing to wait for


class _ListAgainError(Exception):
    """The watch can't go on from where it is. ``unavailable``: the server doesn't have the version that we asked for."""

    def __init__(self, reason: str, detail: str, wait_s: float | None = None, *, unavailable: bool = False) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.wait_s, self.unavailable = reason, detail, wait_s, unavailable


@dataclass(frozen=True, slots=True)
class _Ending:
    """How one watch ended, when the next can go on from there."""

    reason: str
    detail: str
    wait_s: float | None = None


class PodWatch:
    """``deliver`` takes messages from this thread. ``stop`` ends it. Clock, waiting and chance can be set by tests."""

    def __init__(
        self,
        api: Api,
        node_name: str,
        deliver: Callable[[Message], None],
        *,
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._api = api
        self._node_name = node_name
        self._deliver = deliver
        self._stop = stop
        self._clock = clock
        self._wait = wait or stop.wait
        self._rand = rand
        self._backoff = Backoff(rand)
        self._known: dict[str, Pod] = {}
        self._version = ANY_VERSION  # how far we have come; NEWEST while the server doesn't have that version
        self._said = ""
        self.last_beat_monotonic_s = clock()

    def run(self) -> None:
        """Until stopped."""
        while not self._stop.is_set():
            try:
                self._list()
                self._watch()
            except _ListAgainError as again:
                if again.unavailable:
                    self._version = NEWEST
                self._trouble(again.reason, again.detail, again.wait_s)

    def _beat(self) -> None:
        self.last_beat_monotonic_s = self._clock()

    def _trouble(self, reason: str, detail: str, wait_s: float | None = None) -> None:
        """Say it (a lasting one once in words), then wait, longer each time."""
        self._beat()
        repeated = detail == self._said and reason not in QUIET
        self._said = detail
        self._deliver(WatchTrouble(reason, "" if repeated else detail))
        if reason not in QUIET and not self._stop.is_set():
            self._wait(max(wait_s or 0.0, self._backoff.next_s()))
            self._beat()

    # --------------------------------------------------------------------------------------------------------- list

    def _list(self) -> None:
        """One full list, delivered to the loop; its version is where to watch from. Raises _ListAgainError."""
        try:
            listed = list_pods(self._api, self._node_name, self._deliver, self._version)
        except ApiError as error:
            raise _again(error) from error
        self._beat()
        self._known = {pod.uid: pod for pod in listed.pods}
        self._version = listed.resource_version
        self._deliver(listed)

    # -------------------------------------------------------------------------------------------------------- watch

    def _watch(self) -> None:
        """Watches, one after the other, until a list is needed (raises) or we stop."""
        relist_at = self._clock() + RELIST_S * (0.5 + self._rand())
        while not self._stop.is_set():
            if self._clock() >= relist_at:
                raise _ListAgainError("relist", "time for a full list")
            began = self._clock()
            try:
                ending = self._one_watch()
            finally:
                lasted = self._clock() - began >= SHORT_S
                if lasted:
                    self._backoff.reset()
                    self._said = ""
            if ending is None and lasted:
                ending = _Ending("timeout", "the API ended the watch in time; it goes on from where it was")
            ending = ending or _Ending("short", "the API ended the watch right away")
            if not self._stop.is_set():
                self._trouble(ending.reason, ending.detail, ending.wait_s)

    def _one_watch(self) -> _Ending | None:
        """One request; returns None for a clean end or the reason of a broken one."""
        query = pods_query(
            self._node_name,
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=self._version,
            timeoutSeconds=str(int(WATCH_S * (1 + self._rand()))),
        )
        try:
            answer = self._api.request("GET", PATH, query, read_s=READ_S)
        except ApiRefusedError as error:
            if _unavailable(error.status, error.message) or not error.may_pass:
                raise _again(error) from error
            return _Ending("refused", _explain(error), error.retry_after_s)
        except ApiUnreachableError as error:
            return _Ending("unreachable", str(error))
        try:
            for line in _lines(answer):
                self._beat()
                self._event(line)
        except ApiSilentError:
            why = f"nothing came for {READ_S:.0f} s, not even a bookmark: the connection is dead; it goes on from where it was"
            return _Ending("timeout", why)
        except ApiUnreachableError as error:
            return _Ending("unreachable", str(error))
        finally:
            answer.close()
        return None

    def _event(self, line: bytes) -> None:
        """One event, and the version that it brings. Raises _ListAgainError for an ERROR event or a line that is none."""
        try:
            event = decoded(line)
            kind, obj = event["type"], event["object"]
        except (ValueError, KeyError, TypeError) as error:
            raise _ListAgainError(
                "error", f"the watch sent a line that is no event ({error}): listing again"
            ) from error
        if kind == "ERROR":
            code = obj.get("code") if isinstance(obj, dict) else None
            message = str(obj.get("message") if isinstance(obj, dict) else obj)
            raise _ListAgainError(
                "gone" if code == GONE else "error",
                f"the watch sent an error: {message[:300]}; listing again",
                unavailable=_unavailable(code, message),
            )
        if kind in CHANGES:
            self._changed(kind, obj)
        elif kind != "BOOKMARK":
            raise _ListAgainError("error", f"the watch sent an event of type {str(kind)[:40]!r}: listing again")
        self._version = _version(obj) or self._version

    def _changed(self, kind: str, obj: object) -> None:
        try:
            pod = parse_pod(obj)
        except UnreadablePodError as error:
            self._deliver(PodSkipped(name_of(obj), str(error)))
            if kind == "DELETED" and (uid := uid_of(obj)):  # all that matters of a pod that is gone
                self._known.pop(uid, None)
                self._deliver(PodDeleted(uid))
            return
        if kind == "DELETED" or pod.node_name != self._node_name:
            if self._known.pop(pod.uid, None) is not None or kind == "DELETED":
                self._deliver(PodDeleted(pod.uid))
            return
        before = self._known.get(pod.uid)
        if before is None or before != pod:
            self._known[pod.uid] = pod
            self._deliver(PodChanged(pod, asks=before is None or not pod.asks_like(before)))
        elif not pod.fares_like(before):
            self._known[pod.uid] = pod
            self._deliver(PodChanged(pod, decides=False, asks=False))


def _lines(answer: Answer) -> Iterator[bytes]:
    """Lines of the stream. One that is longer than MOST_LINE_BYTES is not kept: _ListAgainError."""
    pending = bytearray()
    for part in answer.parts():
        pending += part
        while (end := pending.find(b"\n")) >= 0:
            line = bytes(pending[:end])
            del pending[: end + 1]
            if line.strip():
                yield line
        if len(pending) > MOST_LINE_BYTES:
            raise _ListAgainError(
                "error", f"the watch sent a line of more than {MOST_LINE_BYTES} bytes: not read, listing again"
            )


def _again(error: ApiError) -> _ListAgainError:
    if isinstance(error, ApiRefusedError):
        return _ListAgainError(
            "gone" if error.status == GONE else "refused",
            _explain(error),
            error.retry_after_s,
            unavailable=_unavailable(error.status, error.message),
        )
    return _ListAgainError("error" if isinstance(error, UnbelievableListError) else "unreachable", str(error))


def _unavailable(status: object, message: str) -> bool:
    """Whether the server has no such version: no longer, or not yet (its cache lags; or etcd was restored from a backup).

    As client-go's reflector decides it (isExpiredError, isTooLargeResourceVersionError); what helps is a consistent read.
    """
    return status == GONE or "Too large resource version" in message


def _explain(error: ApiRefusedError) -> str:
    if error.status == 401:
        return (
            f"{error}. The agent's token is not accepted: is its ServiceAccount still there, and the token file fresh?"
        )
    if error.status == 403:
        return f"{error}. The agent's ClusterRole must allow list and watch of pods."
    return f"pods can't be watched: {error}"


def _version(obj: object) -> str | None:
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    version: Any = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else None
