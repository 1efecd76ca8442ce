"""Which cgroup belongs to which pod and container: by the API or, before it has answered, by the runtime and by the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.model import CgroupPlace, Identity, KeptDecision, Mode, ObjectRef, Pod
from agent.pods.runtime_names import RuntimeNames

KEEP_S = 120.0  # a kill may be recorded after its pod has left the API, or after two more restarts of its container


class Registry:
    """``remembered`` are the ledger's last decisions: names until the API has answered. ``pods``, by uid, include those that left.

    ``runtime`` has what the container runtime reports, if it does: it knows a container's name before its cgroup exists.
    """

    def __init__(self, remembered: Iterable[KeptDecision] = ()) -> None:
        self.pods: dict[str, Pod] = {}
        self._by_key: dict[str, Pod] = {}
        self._ids: dict[str, Identity] = {}
        self._named: dict[str, set[str]] = {}  # the ids in each pod's status, by uid
        self._unnamed: dict[str, float] = {}  # ids that are no longer there, and since when
        self._departed: dict[str, float] = {}
        self._remembered: dict[str, list[KeptDecision]] = {}
        self.listed = False
        self.runtime = RuntimeNames()
        for decision in remembered:
            self._remembered.setdefault(decision.cgroup_key, []).append(decision)
            if decision.container_id and decision.container:
                self._ids[decision.container_id] = Identity(
                    decision.namespace, decision.pod, decision.pod_uid, decision.container, decision.container_id
                )
                self._named.setdefault(decision.pod_uid, set()).add(decision.container_id)
        self._as_kept = {key: tuple(decisions) for key, decisions in self._remembered.items()}

    def decide_again(self, decide: Callable[[KeptDecision], KeptDecision]) -> None:
        """The ledger's decisions for pods that the API has not named, as ``decide`` has them now: rules may have changed."""
        for key in self._remembered:
            self._remembered[key] = [decide(kept) for kept in self._as_kept[key]]

    def listed_copy(self) -> Registry:
        """As it is now, with what the API lists: other threads may read it. Pods and identities never change, so they are shared."""
        copied = Registry()
        copied.pods = {uid: pod for uid, pod in self.pods.items() if uid not in self._departed}
        copied._by_key, copied._ids, copied._remembered = self._by_key.copy(), self._ids.copy(), self._remembered.copy()
        copied.listed, copied.runtime = self.listed, self.runtime.copy()
        return copied

    def put(self, pod: Pod, now_s: float) -> None:
        """A pod as it is now. The cgroup of another living pod stays that pod's."""
        known = self.pods.get(pod.uid)
        if known is not None and known.cgroup_key != pod.cgroup_key and self._by_key.get(known.cgroup_key) is known:
            del self._by_key[known.cgroup_key]
        self.pods[pod.uid] = pod
        owner = self._by_key.get(pod.cgroup_key)
        if owner is None or owner.uid == pod.uid or owner.uid in self._departed:
            self._by_key[pod.cgroup_key] = pod
        self._departed.pop(pod.uid, None)
        self._name_ids(pod, now_s)

    def _name_ids(self, pod: Pod, now_s: float) -> None:
        """Of each container the current instance and the previous one; the ids of those before are kept for KEEP_S."""
        named = {
            container_id: Identity(pod.namespace, pod.name, pod.uid, container.name, container_id)
            for container in pod.containers
            for container_id in (container.container_id, container.previous_id)
            if container_id is not None
        }
        for container_id in self._named.get(pod.uid, set()) - named.keys():
            known = self._ids.get(container_id)
            if (
                known is not None and known.pod_uid == pod.uid
            ):  # else another pod has it: a mirror pod that was created again
                self._unnamed[container_id] = now_s
        for container_id in named:
            self._unnamed.pop(container_id, None)
        self._named[pod.uid] = set(named)
        self._ids |= named

    def depart(self, uid: str, now_s: float) -> None:
        """The API no longer has the pod; it is known by name for KEEP_S."""
        if uid in self.pods:
            self._departed.setdefault(uid, now_s)

    def has_departed(self, uid: str) -> bool:
        """Whether the API no longer has this pod."""
        return uid in self._departed

    def replace(self, pods: Iterable[Pod], skipped: Iterable[str], now_s: float) -> tuple[str, ...]:
        """A full list. Returns the uids that left; ``skipped`` uids could not be read and stay as they were."""
        listed = {pod.uid: pod for pod in pods}
        there = listed.keys() | set(skipped)
        left = tuple(uid for uid in self.pods if uid not in there and uid not in self._departed)
        remembered = {decision.pod_uid for decisions in self._remembered.values() for decision in decisions}
        for uid in (*left, *(remembered - there)):  # remembered ones were deleted while the agent was down
            self._departed.setdefault(uid, now_s)
        for pod in listed.values():
            self.put(pod, now_s)
        self.listed = True
        return left

    def forget_departed(self, now_s: float) -> tuple[str, ...]:
        """Drop pods that left more than KEEP_S ago, and old ids of living pods. Returns the uids of the pods."""
        self.runtime.forget_removed(now_s)
        for container_id in [one for one, at in self._unnamed.items() if now_s - at > KEEP_S]:
            del self._unnamed[container_id], self._ids[container_id]
        old = tuple(uid for uid, at in self._departed.items() if now_s - at > KEEP_S)
        for uid in old:
            pod = self.pods.pop(uid, None)
            self._named.pop(uid, None)
            del self._departed[uid]
            if pod is not None and self._by_key.get(pod.cgroup_key) is pod:
                del self._by_key[pod.cgroup_key]
        if old:
            self._remembered = {
                key: [d for d in decisions if d.pod_uid not in old] for key, decisions in self._remembered.items()
            }
            self._as_kept = {
                key: tuple(d for d in decisions if d.pod_uid not in old) for key, decisions in self._as_kept.items()
            }
            self._ids = {cid: identity for cid, identity in self._ids.items() if identity.pod_uid not in old}
            self._unnamed = {cid: at for cid, at in self._unnamed.items() if cid in self._ids}
        return old

    def ref(self, uid: str) -> ObjectRef | None:
        """The pod of an Event: by the API or, before it has answered, by the ledger; None: neither knows it."""
        remembered = (kept for decisions in self._remembered.values() for kept in decisions if kept.pod_uid == uid)
        if (pod := self.pods.get(uid)) is not None:
            return ObjectRef("Pod", pod.name, pod.namespace, uid)
        return next((ObjectRef("Pod", kept.pod, kept.namespace, uid) for kept in remembered), None)

    def pod_of(self, place: CgroupPlace) -> Pod | None:
        """The pod of this cgroup; None: the API has not named it (yet)."""
        return self.pod_of_key(place.pod_key) if place.pod_key is not None else None

    def pod_of_key(self, key: str) -> Pod | None:
        """The pod by its cgroup's key; None: the API has not named it (yet). Any thread may ask."""
        return self._by_key.get(key)

    def identity(self, place: CgroupPlace) -> Identity | None:
        """None while neither the API nor the runtime has named the container's id (for a pause sandbox they never do)."""
        if place.container_id is None:
            return None
        return self._ids.get(place.container_id) or self.runtime.identity(place, self.pod_of(place))

    def live_ids(self, pod: Pod) -> frozenset[str]:
        """Ids of the pod's containers that run, by the API."""
        return frozenset(c.container_id for c in pod.containers if c.container_id is not None and c.running)

    def remembered(self, place: CgroupPlace) -> tuple[KeptDecision, ...]:
        """The ledger's decisions for this place's pod."""
        return tuple(self._remembered.get(place.pod_key, ())) if place.pod_key is not None else ()

    def remembered_mode(self, key: str, container: str) -> Mode | None:
        """The ledger's last mode for a container of this name in the pod with this key; None: none. Any thread may ask."""
        return next((kept.mode for kept in self._remembered.get(key, ()) if kept.container == container), None)

    def forget_remembered(self, key: str) -> None:
        """The API knows this pod, and counts from now on."""
        self._remembered.pop(key, None)
        self._as_kept.pop(key, None)
