"""What the API's stand-in holds: pods with versions and a bounded history, Events, namespaces."""

from __future__ import annotations

import threading
from typing import Any

from tests.lab.apiselect import matches

Json = dict[str, Any]
Change = tuple[int, Json | None, Json | None]  # version, before, after


class ExpiredError(Exception):
    """The version asked for is older than the history."""


class Store:
    """``history`` is how many changes are remembered: a watch from before gets a 410."""

    def __init__(self, history: int = 1000) -> None:
        self.changed = threading.Condition()
        self.version = 1000
        self.pods: dict[tuple[str, str], Json] = {}
        self.events: dict[tuple[str, str], Json] = {}
        self.terminating: set[str] = set()
        self.missing: set[str] = set()
        self._history = history
        self._changes: list[Change] = []

    def put(self, pod: Json) -> None:
        """Create or replace a pod."""
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        with self.changed:
            self.version += 1
            stored = {**pod, "metadata": {**pod["metadata"], "resourceVersion": str(self.version)}}
            self._note(self.pods.get(key), stored)
            self.pods[key] = stored

    def delete(self, namespace: str, name: str) -> None:
        """Remove a pod; one that isn't there is fine."""
        with self.changed:
            pod = self.pods.pop((namespace, name), None)
            if pod is not None:
                self.version += 1
                gone = {**pod, "metadata": {**pod["metadata"], "resourceVersion": str(self.version)}}
                self._note(gone, None)

    def _note(self, before: Json | None, after: Json | None) -> None:
        self._changes.append((self.version, before, after))
        del self._changes[: -self._history]
        self.changed.notify_all()

    def forget_history(self) -> None:
        """As after a compaction of etcd: every watch from before now is a 410."""
        with self.changed:
            self.version += 1
            self._changes.clear()
            self.changed.notify_all()

    def since(self, version: int, fields: str, labels: str) -> list[tuple[int, str, Json]]:
        """Changes after a version as (version, event type, object); a pod that comes into or leaves the selection is ADDED or DELETED."""
        oldest = self._changes[0][0] if self._changes else self.version + 1
        if version + 1 < oldest and version < self.version:
            raise ExpiredError
        found = []
        for at, before, after in self._changes:
            if at <= version:
                continue
            was = before is not None and matches(before, fields, labels)
            if after is not None and matches(after, fields, labels):
                found.append((at, "MODIFIED" if was else "ADDED", after))
            elif was and before is not None:
                gone = {**(after or before), "metadata": {**(after or before)["metadata"], "resourceVersion": str(at)}}
                found.append((at, "DELETED", gone))
        return found
