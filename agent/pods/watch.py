"""The pod watch, a thread's body: one list, then one watch, forever; changes become messages to the loop.

Never goes back in time: a list is at least as new as what was seen before, whichever API server answers it.
WatchTrouble.reason is ``timeout``, ``gone``, ``refused``, ``unreachable``, ``error``, ``short`` or ``relist``; the first and the
last are normal.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator

from agent.kube.api import (
    Answer,
    Api,
    ApiError,
    ApiRefusedError,
    ApiSilentError,
    UnbelievableAnswerError,
)
from agent.kube.backoff import Backoff
from agent.model import Message, Pod, PodChanged, PodDeleted, PodSkipped, WatchTrouble
from agent.pods.list import (
    ANY_VERSION,
    FRONT,
    MOST_POD_BYTES,
    MOST_SIGNS,
    MOST_SKIPPED_BYTES,
    NEWEST,
    PATH,
    TOO_MANY,
    Unread,
    list_pods,
    metadata_of,
    name_of,
    pods_query,
    signs,
    uid_of,
)
from agent.pods.parse import UnreadablePodError, parse_pod

WATCH_S = 300.0  # asked of the server, with jitter up to twice that
READ_S = 120.0  # nothing for that long, not even a bookmark (one per minute): a half-open connection
SHORT_S = 5.0  # a watch that lasted this long worked: the back-off starts again
RELIST_S = 1200.0  # a full list as a safety net, with jitter
MOST_LINE_BYTES = MOST_POD_BYTES + 1000
GONE = 410
CHANGES = ("ADDED", "MODIFIED", "DELETED")
QUIET = ("timeout", "relist")  # reasons that are normal: reported each time, without a wait


class _EndedError(Exception):
    """A list failed or a watch ended. ``relist``: no watch can continue from where it was.

    ``unavailable``: the server doesn't have the version that we asked for.
    """

    def __init__(
        self, reason: str, detail: str, wait_s: float | None = None, *, relist: bool = True, unavailable: bool = False
    ) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.wait_s = reason, detail, wait_s
        self.relist, self.unavailable = relist, unavailable


class PodWatch:
    """``deliver`` takes messages from this thread. ``stop`` ends it."""

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
        self._version = ANY_VERSION  # seen so far; NEWEST while the server doesn't have that version
        self._said = ""
        self.last_beat_monotonic_s = clock()

    def run(self) -> None:
        """Until stopped."""
        relist_at: float | None = None  # None: now
        while not self._stop.is_set():
            try:
                if relist_at is None:
                    self._list()
                    relist_at = self._clock() + RELIST_S * (0.5 + self._rand())
                self._watch(relist_at)
            except _EndedError as ended:
                if ended.relist:
                    relist_at = None
                if ended.unavailable:
                    self._version = NEWEST
                self._trouble(ended)

    def _beat(self) -> None:
        self.last_beat_monotonic_s = self._clock()

    def _trouble(self, ended: _EndedError) -> None:
        """Report it (a lasting one once in words), then wait, longer each time."""
        self._beat()
        repeated = ended.detail == self._said and ended.reason not in QUIET
        self._said = ended.detail
        self._deliver(WatchTrouble(ended.reason, "" if repeated else ended.detail))
        if ended.reason not in QUIET and not self._stop.is_set():
            self._wait(max(ended.wait_s or 0.0, self._backoff.next_s()))
            self._beat()

    def _list(self) -> None:
        """One full list, delivered to the loop; its version is where to watch from. Raises _EndedError."""
        try:
            listed = list_pods(self._api, self._node_name, self._deliver, self._version)
        except ApiError as error:
            raise _ended(error) from error
        self._beat()
        self._known = {pod.uid: pod for pod in listed.pods}
        self._version = listed.resource_version
        self._deliver(listed)

    def _watch(self, relist_at: float) -> None:
        """One watch. Raises _EndedError, always."""
        began = self._clock()
        if began >= relist_at:
            raise _EndedError("relist", "time for a full list")
        try:
            self._read_watch()
        finally:
            lasted = self._clock() - began >= SHORT_S
            if lasted:
                self._backoff.reset()
                self._said = ""
        if lasted:
            raise _EndedError("timeout", "the API ended the watch in time; it goes on from where it was", relist=False)
        raise _EndedError("short", "the API ended the watch right away", relist=False)

    def _read_watch(self) -> None:
        """One request, to its end. Raises _EndedError if it breaks off."""
        query = pods_query(
            self._node_name,
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=self._version,
            timeoutSeconds=str(int(WATCH_S * (1 + self._rand()))),
        )
        try:
            answer = self._api.request("GET", PATH, query, read_s=READ_S)
            try:
                for line in _lines(answer):
                    self._beat()
                    if isinstance(line, Unread):
                        self._unread(line)
                    else:
                        self._event(line)
            finally:
                answer.close()
        except ApiSilentError as error:
            why = f"nothing came for {READ_S:.0f} s, not even a bookmark: the connection is dead; it goes on from where it was"
            raise _EndedError("timeout", why, relist=False) from error
        except ApiError as error:
            raise _ended(error, watching=True) from error

    def _event(self, line: bytes) -> None:
        """One event, and its version. Raises _EndedError for an ERROR event or a line that is none."""
        try:
            event = json.loads(line)
            kind, obj = event["type"], event["object"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, RecursionError) and line.startswith(b"{"):
                self._unread(Unread(line[:FRONT].decode("latin-1"), "nested too deeply"))
                return
            why = f"the watch sent a line that is no event ({error}): listing again"
            raise _EndedError("error", why) from error
        if kind == "ERROR":
            code = obj.get("code") if isinstance(obj, dict) else None
            message = str(obj.get("message") if isinstance(obj, dict) else obj)
            reason, why = (
                "gone" if code == GONE else "error",
                f"the watch sent an error: {message[:300]}; listing again",
            )
            raise _EndedError(reason, why, unavailable=_unavailable(code, message))
        if kind in CHANGES:
            self._changed(kind, obj)
        elif kind != "BOOKMARK":
            raise _EndedError("error", f"the watch sent an event of type {str(kind)[:40]!r}: listing again")
        version = metadata_of(obj).get("resourceVersion")
        self._version = version if isinstance(version, str) and version else self._version

    def _unread(self, event: Unread) -> None:
        """An event of a pod that is too large or too deep: what is known of that stays, unless it was deleted. Raises _EndedError."""
        if not event.front.lstrip().startswith("{"):
            raise _EndedError("error", f"the watch sent a line that is no event ({event.why}): listing again")
        self._deliver(PodSkipped(name_of(event), event.why))
        deleted = re.match(r'\s*\{\s*"type"\s*:\s*"DELETED"', event.front) is not None
        if deleted and (uid := uid_of(event)):
            self._known.pop(uid, None)
            self._deliver(PodDeleted(uid))

    def _changed(self, kind: str, obj: object) -> None:
        try:
            pod = parse_pod(obj)
        except UnreadablePodError as error:
            self._deliver(PodSkipped(name_of(obj), str(error)))
            if kind == "DELETED" and (uid := uid_of(obj)):  # enough for a deleted pod
                self._known.pop(uid, None)
                self._deliver(PodDeleted(uid))
            return
        if kind == "DELETED" or pod.node_name != self._node_name:
            if self._known.pop(pod.uid, None) is not None or kind == "DELETED":
                self._deliver(PodDeleted(pod.uid))
            return
        before = self._known.get(pod.uid)
        self._known[pod.uid] = pod
        if before is None or pod != before or not pod.same_status(before):
            asks = before is None or not pod.same_request(before)
            self._deliver(PodChanged(pod, decides=pod != before, asks=asks))


def _lines(answer: Answer) -> Iterator[bytes | Unread]:
    """Lines of the stream; of one that is too large or has too many signs an Unread. Raises _EndedError for one without an end."""
    line = _Line()
    for part in answer.parts():
        *ends, rest = part.split(b"\n")
        for end in ends:
            line.add(end)
            if (found := line.whole()) is not None:
                yield found
            line = _Line()
        line.add(rest)


class _Line:
    """One line as it arrives: it is looked at once, and kept only as long as it may be read."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = self._signs = 0
        self._unread: Unread | None = None

    def add(self, part: bytes) -> None:
        """Raises _EndedError for a line without an end."""
        self._size += len(part)
        if self._size > MOST_SKIPPED_BYTES:
            why = f"the watch sent a line of more than {MOST_SKIPPED_BYTES} bytes: not read, listing again"
            raise _EndedError("error", why)
        if self._unread is not None:
            return
        self._parts.append(part)
        self._signs += signs(part)
        if self._size > MOST_LINE_BYTES:
            self._give_up(f"it is larger than {MOST_POD_BYTES} bytes")
        elif self._signs > MOST_SIGNS:
            self._give_up(TOO_MANY)

    def _give_up(self, why: str) -> None:
        self._unread = Unread(b"".join(self._parts)[:FRONT].decode("latin-1"), why)
        self._parts.clear()

    def whole(self) -> bytes | Unread | None:
        """At its end, once; None: there is nothing in it."""
        line = b"".join(self._parts)
        self._parts.clear()
        return self._unread or line.strip() or None


def _ended(error: ApiError, *, watching: bool = False) -> _EndedError:
    if isinstance(error, ApiRefusedError):
        unavailable = _unavailable(error.status, error.message)
        reason = "gone" if error.status == GONE else "refused"
        relist = not watching or unavailable or not error.may_pass
        return _EndedError(reason, _explain(error), error.retry_after_s, relist=relist, unavailable=unavailable)
    reason = "error" if isinstance(error, UnbelievableAnswerError) else "unreachable"
    return _EndedError(reason, str(error), relist=not watching)


def _unavailable(status: object, message: str) -> bool:
    """Whether the server has no such version: no longer, or not yet (its cache lags; or etcd was restored from a backup).

    As client-go's reflector (isExpiredError, isTooLargeResourceVersionError). A consistent read helps.
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
