"""Places in the schedule, by namespace and pod: which Event is left out when there is no room. Pure."""

from __future__ import annotations

from agent.model import Notice


class Places:
    """Of the Warnings or of the Normal Events. Nothing is kept of a namespace or pod without a place."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, dict[str, None]]] = {}  # names by namespace and uid, the newest last
        self._sizes: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._sizes)

    def of_namespace(self, namespace: str) -> int:
        """How many places this namespace has."""
        return self._sizes.get(namespace, 0)

    def of_pod(self, notice: Notice) -> int:
        """How many places the pod of this Event has."""
        return len(self._pods.get(notice.about.namespace, {}).get(notice.about.uid, ()))

    def add(self, notice: Notice) -> None:
        """A place for this Event; one that has a place keeps it."""
        namespace = notice.about.namespace
        names = self._pods.setdefault(namespace, {}).setdefault(notice.about.uid, {})
        if notice.name not in names:
            names[notice.name] = None
            self._sizes[namespace] = self._sizes.get(namespace, 0) + 1

    def remove(self, notice: Notice) -> None:
        """Its place is free."""
        namespace, uid = notice.about.namespace, notice.about.uid
        pods = self._pods[namespace]
        del pods[uid][notice.name]
        self._sizes[namespace] -= 1
        if not pods[uid]:
            del pods[uid]
        if not pods:
            del self._pods[namespace], self._sizes[namespace]

    def crowded(self, newest: Notice, under_way: str | None) -> str | None:
        """The name of the newest Event of the namespace with the most places and its pod with the most; of several, ``newest``'s own.

        None: that has only the Event that is ``under_way``.
        """
        sizes, about = self._sizes, newest.about
        namespace = max(sizes, key=lambda one: (sizes[one], one == about.namespace))
        pods = self._pods[namespace]
        uid = max(pods, key=lambda one: (len(pods[one]), one == about.uid))
        return next((name for name in reversed(pods[uid]) if name != under_way), None)
