"""Is the node's name right? The API's list of this node's pods and the cgroups of pods that run here must have a pod in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from agent.model import Cgroup, CgroupKind
from agent.pods.registry import Registry
from agent.wording.text import count, safe

ADVICE = (
    "give the node's name as in `kubectl get nodes`: --node-name, or NODE_NAME from the downward API (spec.nodeName)"
)
UNKNOWN_S = 300.0  # a pod that started after the list: the API names it within a second, or a half-open watch is noticed in two minutes


@dataclass(eq=False)
class NodeName:
    """``wrong``: why it is wrong, and what to do; None: nothing proves that. Once a pod of the API's was seen here, the name is right."""

    name: str
    registry: Registry
    wrong: str | None = field(default=None, init=False)
    _right: bool = field(default=False, init=False)
    _trouble: bool = field(default=False, init=False)  # of the watch: the API may have more pods than it reported
    _since: dict[str, float] = field(default_factory=dict, init=False)  # of pods here, by key

    def trouble(self) -> None:
        """The watch failed; what is known of pods may be old until the next list."""
        self._trouble = True

    def check(self, cgroups: Iterable[Cgroup], now_s: float, *, listed: bool = False) -> None:
        """``listed``: the API has just listed the node's pods; what runs here by now and is not among them is not this node's."""
        keys = {
            c.place.pod_key for c in cgroups if c.place.kind is CgroupKind.CONTAINER and c.place.pod_key is not None
        }
        self._trouble = self._trouble and not listed
        self._right = self._right or any(self.registry.pod_of_key(key) is not None for key in keys)
        since_s = -inf if listed else now_s
        self._since = {key: min(self._since.get(key, since_s), since_s) for key in keys}
        if self._right or not self.registry.listed:
            self.wrong = None
        elif not self._trouble:
            # A static pod's key, its hash, has no dash: until the kubelet reached the API there is no mirror of it.
            strange = [key for key, since in self._since.items() if "-" in key and now_s - since >= UNKNOWN_S]
            self.wrong = self._why(len(strange)) if strange else None

    def _why(self, others: int) -> str | None:
        """Pods that the API has on the node without a running container (they are finished, or wait) prove nothing."""
        listed = [pod for pod in self.registry.pods.values() if not self.registry.has_departed(pod.uid)]
        if listed and not any(container.running for pod in listed for container in pod.containers):
            return None
        theirs = f"{count(len(listed), 'pod')} there, none of which runs here" if listed else "no pod there"
        wrong = f"{safe(self.name)!r} is not this node's name: the API has {theirs}; running here: {count(others, 'other pod')}"
        return f"{wrong}; {ADVICE}"
