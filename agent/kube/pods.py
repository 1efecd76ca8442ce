"""The pod watch: one list, then one watch, for ever; what changed goes to the loop as messages.

A thread's body. Three nested generators as it were: for ever → until it must list again → one request. Touches no state
of the loop. Words for WatchTrouble.reason: ``timeout``, ``gone``, ``refused``, ``unreachable``, ``error``, ``short``,
``relist``; the first and the last are normal.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import urllib3

from agent.kube.api import Answer, Api, ApiError, ApiRefusedError, ApiUnreachableError
from agent.kube.backoff import Backoff
from agent.kube.podjson import UnreadablePodError, parse_pod
from agent.model import Message, Pod, PodChanged, PodDeleted, PodSkipped, PodsListed, WatchTrouble

PATH = "/api/v1/pods"
WATCH_S = 300.0  # asked of the server, with jitter up to twice that
READ_S = 120.0  # nothing for that long, not even a bookmark (one a minute): a half-open connection
SHORT_S = 5.0  # a watch that ended cleanly sooner is backed off from
RELIST_S = 1200.0  # a full list as a safety net, with jitter
MOST_LINE_BYTES = 8 << 20  # etcd holds 1.5 MiB at most
MOST_LIST_BYTES = 256 << 20
GONE = 410


class _ListAgainError(Exception):
    """The watch can't go on from where it is."""

    def __init__(self, reason: str, detail: str, wait_s: float | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.wait_s = reason, detail, wait_s


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
        self._said = ""
        self._answer: Answer | None = None
        self.last_beat_monotonic_s = clock()

    def run(self) -> None:
        """Until stopped."""
        while not self._stop.is_set():
            try:
                version = self._list()
                self._backoff.reset()
                self._watch(version)
            except _ListAgainError as again:
                self._trouble(again.reason, again.detail, again.wait_s)

    def _beat(self) -> None:
        self.last_beat_monotonic_s = self._clock()

    def _trouble(self, reason: str, detail: str, wait_s: float | None = None) -> None:
        """Say it (a lasting one once in words), then wait, longer each time."""
        self._beat()
        repeated = detail == self._said and reason not in ("timeout", "relist")
        self._said = detail
        self._deliver(WatchTrouble(reason, "" if repeated else detail))
        if reason not in ("timeout", "relist") and not self._stop.is_set():
            self._wait(max(wait_s or 0.0, self._backoff.next_s()))
            self._beat()

    # --------------------------------------------------------------------------------------------------------- list

    def _query(self, **more: str) -> Mapping[str, str]:
        return {"fieldSelector": f"spec.nodeName={self._node_name}", **more}

    def _list(self) -> str:
        """One full list; tells the loop; returns the version to watch from. Raises _ListAgainError."""
        try:
            # Version 0: whatever the server's cache has, without a quorum read of etcd for every node's agent.
            answer = self._api.request("GET", PATH, self._query(resourceVersion="0"), read_s=60.0)
            body = answer.json(MOST_LIST_BYTES)
        except ApiError as error:
            raise _again(error) from error
        self._beat()
        items = body.get("items") if isinstance(body, dict) else None
        metadata = body.get("metadata") if isinstance(body, dict) else None
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        if not isinstance(version, str) or not (isinstance(items, list) or (isinstance(body, dict) and items is None)):
            raise _ListAgainError("error", "the API's list of pods is no list: not believed, trying again")
        pods, skipped = [], []
        for item in items or []:
            try:
                pods.append(parse_pod(item))
            except UnreadablePodError as error:
                skipped.append(_uid(item))
                self._deliver(PodSkipped(_name(item), str(error)))
        ours = tuple(pod for pod in pods if pod.node_name == self._node_name)
        self._known = {pod.uid: pod for pod in ours}
        self._deliver(PodsListed(ours, version, tuple(uid for uid in skipped if uid)))
        self._said = ""
        return version

    # -------------------------------------------------------------------------------------------------------- watch

    def _watch(self, version: str) -> None:
        """Watches from ``version``, one after the other, until a list is needed (raises) or we stop."""
        relist_at = self._clock() + RELIST_S * (0.5 + self._rand())
        while not self._stop.is_set():
            if self._clock() >= relist_at:
                raise _ListAgainError("relist", "time for a full list")
            began = self._clock()
            version, ending = self._one_watch(version)
            if ending is None and self._clock() - began >= SHORT_S:
                self._backoff.reset()
                self._trouble("timeout", "the API ended the watch in time; it goes on from where it was")
            elif not self._stop.is_set():
                reason, detail = ending or ("short", "the API ended the watch right away")
                self._trouble(reason, detail)

    def _one_watch(self, version: str) -> tuple[str, tuple[str, str] | None]:
        """One request; returns how far it came, and None for a clean end or the reason of a broken one."""
        query = self._query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=version,
            timeoutSeconds=str(int(WATCH_S * (1 + self._rand()))),
        )
        try:
            self._answer = answer = self._api.request("GET", PATH, query, read_s=READ_S)
        except ApiRefusedError as error:
            if error.status == GONE:
                raise _again(error) from error
            return version, ("refused", _explain(error))
        except ApiUnreachableError as error:
            return version, ("unreachable", str(error))
        try:
            for line in _lines(answer):
                self._beat()
                version = self._event(line, version)
        except urllib3.exceptions.ReadTimeoutError:
            return version, None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return version, None if self._stop.is_set() else ("unreachable", f"the watch broke off: {error}")
        finally:
            answer.close()
        return version, None

    def _event(self, line: bytes, version: str) -> str:
        """One event; returns the version it brings. Raises _ListAgainError for an ERROR event or a line that is none."""
        try:
            event = json.loads(line)
            kind, obj = event["type"], event["object"]
        except (ValueError, KeyError, TypeError) as error:
            raise _ListAgainError("error", f"the watch sent a line that is no event ({error}): listing anew") from error
        if kind == "ERROR":
            code = obj.get("code") if isinstance(obj, dict) else None
            message = obj.get("message") if isinstance(obj, dict) else obj
            raise _ListAgainError(
                "gone" if code == GONE else "error", f"the watch sent an error: {str(message)[:300]}; listing anew"
            )
        version = _version(obj) or version
        if kind != "BOOKMARK":
            self._told(str(kind), obj)
        return version

    def _told(self, kind: str, obj: object) -> None:
        try:
            pod = parse_pod(obj)
        except UnreadablePodError as error:
            self._deliver(PodSkipped(_name(obj), str(error)))
            return
        if kind == "DELETED" or pod.node_name != self._node_name:
            if self._known.pop(pod.uid, None) is not None or kind == "DELETED":
                self._deliver(PodDeleted(pod.uid))
            return
        before = self._known.get(pod.uid)
        self._known[pod.uid] = pod
        if before is None or replace(before, resource_version=pod.resource_version) != pod:
            self._deliver(PodChanged(pod))


def _lines(answer: Answer) -> Iterator[bytes]:
    """Lines of the stream. One that is longer than MOST_LINE_BYTES is not kept: _ListAgainError."""
    pending = bytearray()
    for part in answer.raw.stream(amt=65536, decode_content=True):
        pending += part
        while (end := pending.find(b"\n")) >= 0:
            line = bytes(pending[:end])
            del pending[: end + 1]
            if line.strip():
                yield line
        if len(pending) > MOST_LINE_BYTES:
            raise _ListAgainError(
                "error", f"the watch sent a line of more than {MOST_LINE_BYTES} bytes: not read, listing anew"
            )


def _again(error: ApiError) -> _ListAgainError:
    if isinstance(error, ApiRefusedError):
        return _ListAgainError("gone" if error.status == GONE else "refused", _explain(error), error.retry_after_s)
    return _ListAgainError("unreachable", str(error))


def _explain(error: ApiRefusedError) -> str:
    if error.status == 401:
        return (
            f"{error}. The agent's token is not accepted: is its ServiceAccount still there, and the token file fresh?"
        )
    if error.status == 403:
        return f"{error}. The agent's ClusterRole must allow get, list and watch of pods."
    return f"pods can't be watched: {error}"


def _version(obj: object) -> str | None:
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    version: Any = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else None


def _uid(item: object) -> str:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    uid: Any = metadata.get("uid") if isinstance(metadata, dict) else None
    return uid if isinstance(uid, str) else ""


def _name(item: object) -> str:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(metadata, dict):
        return "an object without metadata"
    return f"pod {str(metadata.get('namespace'))[:253]}/{str(metadata.get('name'))[:253]}"
