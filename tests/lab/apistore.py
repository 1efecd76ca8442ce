"""What the API's stand-in holds: pods with versions and a bounded history, Events, namespaces, nodes.

Takes changes from the test, gives lists, pages and what changed since a version, with the API's own meaning of
resourceVersion. Everything is guarded by ``changed``, which wakes the watches. Knows nothing of HTTP.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import OrderedDict
from typing import Any

from tests.lab.apiselect import Selector

Json = dict[str, Any]
Change = tuple[int, Json | None, Json | None]  # version, before, after
MOST_PAGED = 16


class ExpiredError(Exception):
    """The version asked for is older than what is remembered."""


class TooLargeError(Exception):
    """The version asked for has not been reached."""


class Store:
    """``history`` is how many changes are remembered: a watch from before gets a 410."""

    def __init__(self, history: int = 1000) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.version = 1000
        self.pods: dict[tuple[str, str], Json] = {}
        self.events: dict[tuple[str, str], Json] = {}
        self.event_times: list[tuple[float, Json]] = []  # CLOCK_MONOTONIC at which each was created or replaced
        self.nodes: dict[str, Json] = {}
        self.terminating: set[str] = set()
        self.missing: set[str] = set()
        self._history = history
        self._changes: list[Change] = []
        self._forgotten = self.version  # the newest version whose change is no longer remembered
        self._cached: int | None = None  # the version that the watch cache has come to; None: it keeps up
        self._paged: OrderedDict[int, list[Json]] = OrderedDict()

    # ------------------------------------------------------------------------------------------------------ changes

    def put(self, pod: Json) -> None:
        """Create or replace a pod."""
        key = _key(pod)
        with self.changed:
            stored = self.next(pod)
            self._note(self.pods.get(key), stored)
            self.pods[key] = stored

    def delete(self, namespace: str, name: str) -> None:
        """Remove a pod; one that isn't there is fine."""
        with self.changed:
            pod = self.pods.pop((namespace, name), None)
            if pod is not None:
                self._note(self.next(pod), None)

    def put_node(self, node: Json) -> None:
        """Create or replace a node."""
        with self.changed:
            self.nodes[node["metadata"]["name"]] = self.next(node)

    def put_event(self, event: Json) -> Json:
        """Create or replace an Event; returns it as stored."""
        key = _key(event)
        with self.changed:
            self.events[key] = stored = self.next(event)
            self.event_times.append((time.monotonic(), stored))
            self.changed.notify_all()
            return stored

    def forget_history(self) -> None:
        """As after a compaction of etcd: every watch and page from before now is a 410."""
        with self.changed:
            self.version += 1
            self._changes.clear()
            self._paged.clear()
            self._forgotten = self.version
            self.changed.notify_all()

    def lag(self, version: int) -> None:
        """From now on the watch cache is that of another API server, which has come to this version only: see ``catch_up``."""
        with self.changed:
            self._cached = version

    def catch_up(self) -> None:
        """The watch cache has all changes again."""
        with self.changed:
            self._cached = None
            self.changed.notify_all()

    @property
    def cached(self) -> int:
        """The version that the watch cache has come to."""
        return self.version if self._cached is None else self._cached

    def next(self, obj: Json) -> Json:
        """The object with the next version."""
        self.version += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}

    def _note(self, before: Json | None, after: Json | None) -> None:
        self._changes.append((self.version, before, after))
        while len(self._changes) > self._history:
            self._forgotten = self._changes.pop(0)[0]
        self.changed.notify_all()

    # -------------------------------------------------------------------------------------------------------- lists

    def select(self, selector: Selector, at_least: int | None) -> tuple[list[Json], int]:
        """The selected pods by namespace and name, and the version of this list. Raises TooLargeError.

        ``at_least`` None is a consistent read; else the watch cache answers, whose list may be old where 0 is asked for.
        """
        with self.changed:
            at = self.version if at_least is None else self.cached
            if at_least is not None and at_least > at:
                raise TooLargeError
            return [pod for _, pod in sorted(self._pods_at(at).items()) if selector.matches(pod)], at

    def _pods_at(self, version: int) -> dict[tuple[str, str], Json]:
        pods = dict(self.pods)
        for at, before, after in reversed(self._changes):
            if at <= version:
                break
            if after is not None:
                del pods[_key(after)]
            if before is not None:
                pods[_key(before)] = before
        return pods

    def remember(self, items: list[Json], version: int) -> None:
        """Keep a list, so that its later pages are of the same version."""
        with self.changed:
            self._paged[version] = items
            while len(self._paged) > MOST_PAGED:
                self._paged.popitem(last=False)

    def page(self, token: str) -> tuple[list[Json], int, int]:
        """What a continue token leads to: the whole list, its version, where to go on. Raises ExpiredError, ValueError."""
        try:
            version, start = json.loads(base64.urlsafe_b64decode(token.encode()))
        except (ValueError, TypeError) as error:
            raise ValueError("continue key is not valid") from error
        with self.changed:
            if version not in self._paged:
                raise ExpiredError
            return self._paged[version], int(version), int(start)

    # ------------------------------------------------------------------------------------------------------- watches

    def since(self, version: int, selector: Selector) -> list[tuple[int, str, Json]]:
        """Changes after a version as (version, type, object); a pod that comes into or leaves the selection is ADDED
        or DELETED, the latter as it was last seen inside (apiserver's cacheWatcher). Raises ExpiredError, TooLargeError.

        A cache that lags gives what it has of them, and refuses no version that etcd has (cacher.Watch).
        """
        with self.changed:
            if version < self._forgotten:
                raise ExpiredError
            if version > self.version:
                raise TooLargeError
            found = (_seen(change, selector) for change in self._changes if version < change[0] <= self.cached)
            return [event for event in found if event is not None]


def _key(obj: Json) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def token(version: int, start: int) -> str:
    """The continue token for a list's next page."""
    return base64.urlsafe_b64encode(json.dumps([version, start]).encode()).decode()


def _seen(change: Change, selector: Selector) -> tuple[int, str, Json] | None:
    at, before, after = change
    was = selector.matches(before)
    if after is not None and selector.matches(after):
        return at, "MODIFIED" if was else "ADDED", after
    if was and before is not None:
        return at, "DELETED", {**before, "metadata": {**before["metadata"], "resourceVersion": str(at)}}
    return None
