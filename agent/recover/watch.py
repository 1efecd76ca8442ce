"""One collection of objects, by list and watch, for as long as the controller runs; a thread's body.

Any trouble means: wait, longer each time, and list again. Objects that nobody ``wants`` are not kept. A page of the list
that would take too much memory is asked for again in parts, and what is kept has a limit, which namespaces share.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.kube.api import Answer, AnswerTooLongError, Api, ApiError, ApiSilentError
from agent.kube.backoff import Backoff
from agent.recover.kept import Kept
from agent.recover.lean import lean

Json = dict[str, Any]
LIST_S = 60.0
READ_S = 120.0  # bookmarks come once a minute
WATCH_S = 300.0
SHORT_S = 5.0  # a watch that ends sooner did not work
PAGE = 250
FEWER = 8  # parts of a page that is too long
MOST_PAGE_BYTES = 16 << 20  # several times that in memory; one object has up to six times the 1.5 MiB of etcd
MOST_LINE_BYTES = 16 << 20
MOST_KEPT_BYTES = 4 << 20  # five to ten times that in memory
CHANGES = ("ADDED", "MODIFIED")
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, RecursionError)  # for what no API sends


class WatchError(Exception):
    """The watch ended in another way than in time."""


class Watch:
    """``objects()`` are those that are wanted now, by uid. ``changed`` is called after each change, from this thread."""

    def __init__(
        self,
        api: Api,
        path: str,
        query: Mapping[str, str],
        wants: Callable[[Json], bool],
        changed: Callable[[], None],
        stop: threading.Event,
        trouble: Callable[[str], None],
        keep: Callable[[Json], Json] = lean,
        most_bytes: int = MOST_KEPT_BYTES,
    ) -> None:
        self._api, self._path, self._query = api, path, dict(query)
        self._wants, self._changed, self._stop, self._trouble = wants, changed, stop, trouble
        self._keep = keep
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._objects = Kept(most_bytes)
        self._backoff = Backoff()
        self.listed = threading.Event()

    def objects(self) -> tuple[Json, ...]:
        with self._lock:
            return tuple(self._objects)

    def run(self) -> None:
        """Until stopped."""
        while not self._stop.is_set():
            try:
                version = self._list()
                while not self._stop.is_set():
                    began = time.monotonic()
                    version = self._follow(version)
                    if time.monotonic() - began >= SHORT_S:
                        self._backoff.reset()
                    else:
                        self._stop.wait(self._backoff.next_s())
            except (ApiError, WatchError) as error:
                self._trouble(f"{self._path}: {error}")
                self._stop.wait(self._backoff.next_s())

    def _list(self) -> str:
        """All pages; the version to watch from."""
        found = Kept(self._most_bytes)
        query = {**self._query}
        limit = PAGE
        while True:
            query["limit"] = str(limit)
            try:
                page = self._api.request("GET", self._path, query, read_s=LIST_S).json(MOST_PAGE_BYTES)
            except AnswerTooLongError:
                if limit == 1:
                    raise
                limit = max(1, limit // FEWER)
                continue
            try:
                items, metadata = page.get("items") or [], page["metadata"]
                for item in items:
                    self._put(found, _uid(item), item)
                version, more = str(metadata["resourceVersion"]), metadata.get("continue")
            except (AttributeError, KeyError, TypeError) as error:
                raise WatchError(f"the API's answer is no list: {error!r}") from error
            if not more:
                break
            query["continue"] = str(more)
        with self._lock:
            self._objects = found
        self._report(found)
        self.listed.set()
        self._changed()
        return version

    def _follow(self, version: str) -> str:
        """One watch, to its end in time; the version to go on from."""
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(int(WATCH_S * (1 + random.random()))),
        }
        answer = self._api.request("GET", self._path, query, read_s=READ_S)
        try:
            for line in _lines(answer):
                version = self._event(line) or version
        except ApiSilentError:
            pass  # a dead connection: it goes on from where it was
        finally:
            answer.close()
        return version

    def _event(self, line: bytes) -> str:
        """Take one change; its version."""
        try:
            event = json.loads(line)
            kind, obj = event["type"], event["object"]
            if kind == "ERROR":
                raise WatchError(str(obj.get("message"))[:300])
            uid, version = _uid(obj), obj["metadata"].get("resourceVersion") or ""
        except UNREADABLE as error:
            raise WatchError(f"a line that is no event: {error!r}") from error
        if kind != "BOOKMARK" and self._take(kind, uid, obj):
            self._changed()
        return str(version)

    def _take(self, kind: str, uid: str, obj: Json) -> bool:
        """Whether that changes what is kept."""
        with self._lock:
            known = self._objects.pop(uid)
            wanted = kind in CHANGES and self._put(self._objects, uid, obj)
        self._report(self._objects)
        return wanted or known

    def _put(self, kept: Kept, uid: str, obj: Json) -> bool:
        """Whether it is wanted, and kept. One that can't be read is left out and said: the others stay."""
        try:
            if wanted := self._wants(obj):
                kept.put(uid, self._keep(obj))
        except UNREADABLE as error:
            self._trouble(f"{self._path}: {uid} can't be read and is left out: {type(error).__name__}: {error}")
            return False
        return wanted

    def _report(self, kept: Kept) -> None:
        if (name := kept.crowded()) is not None:
            most = f"more than {self._most_bytes >> 20} MiB to keep"
            self._trouble(f"{self._path}: {most}: of namespaces with the most, such as {name}, the oldest are left out")


def _uid(obj: Json) -> str:
    """Events of the lab and of old servers may lack a uid: then the name stands for it."""
    metadata = obj["metadata"]
    return str(metadata.get("uid") or f"{metadata.get('namespace')}/{metadata.get('name') or ''}")


def _lines(answer: Answer) -> Iterator[bytes]:
    pending = bytearray()
    for part in answer.parts():
        pending += part
        *lines, rest = pending.split(b"\n")
        pending = bytearray(rest)
        yield from (bytes(line) for line in lines if line.strip())
        if len(pending) > MOST_LINE_BYTES:
            raise WatchError("a line that is longer than any object")
