"""Which cgroup belongs to which pod and container: as the API says or, before it has answered, as the ledger remembers.

Owns the pods of this node and the ids of their containers. Takes pods in, answers for places. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.model import CgroupPlace, Identity, KeptDecision, Pod

KEEP_S = 120.0  # a kill may be recorded after its pod has left the API, or after two more restarts of its container


class Registry:
    """``remembered`` are the ledger's last decisions: names until the API has answered. ``listed``: it has."""

    def __init__(self, remembered: Iterable[KeptDecision] = ()) -> None:
        self._pods: dict[str, Pod] = {}
        self._by_key: dict[str, Pod] = {}
        self._ids: dict[str, Identity] = {}
        self._named: dict[str, set[str]] = {}  # the ids that each pod's status names now, by uid
        self._unnamed: dict[str, float] = {}  # ids that it no longer names, and since when
        self._departed: dict[str, float] = {}
        self._remembered: dict[str, list[KeptDecision]] = {}
        self.listed = False
        for decision in remembered:
            self._remembered.setdefault(decision.cgroup_key, []).append(decision)
            if decision.container_id and decision.container:
                self._ids[decision.container_id] = Identity(
                    decision.namespace, decision.pod, decision.pod_uid, decision.container, decision.container_id
                )
                self._named.setdefault(decision.pod_uid, set()).add(decision.container_id)

    @property
    def pods(self) -> Mapping[str, Pod]:
        """Pods by uid, those that left a moment ago among them."""
        return self._pods

    def put(self, pod: Pod, now_s: float) -> None:
        """A pod as it is now. A cgroup that another living pod has stays that one's."""
        known = self._pods.get(pod.uid)
        if known is not None and known.cgroup_key != pod.cgroup_key and self._by_key.get(known.cgroup_key) is known:
            del self._by_key[known.cgroup_key]
        self._pods[pod.uid] = pod
        holder = self._by_key.get(pod.cgroup_key)
        if holder is None or holder.uid == pod.uid or holder.uid in self._departed:
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
            ):  # else another pod has it: a mirror pod that was made again
                self._unnamed[container_id] = now_s
        for container_id in named:
            self._unnamed.pop(container_id, None)
        self._named[pod.uid] = set(named)
        self._ids |= named

    def depart(self, uid: str, now_s: float) -> None:
        """The API no longer has the pod; it is still known by name for KEEP_S."""
        if uid in self._pods:
            self._departed.setdefault(uid, now_s)

    def has_departed(self, uid: str) -> bool:
        """Whether the API no longer has this pod."""
        return uid in self._departed

    def replace(self, pods: Iterable[Pod], skipped: Iterable[str], now_s: float) -> tuple[str, ...]:
        """A full list. Returns the uids that left; ``skipped`` uids could not be read and stay as they were."""
        listed = {pod.uid: pod for pod in pods}
        left = tuple(
            uid for uid in self._pods if uid not in listed and uid not in set(skipped) and uid not in self._departed
        )
        for uid in left:
            self.depart(uid, now_s)
        for uid in (
            {d.pod_uid for decisions in self._remembered.values() for d in decisions} - listed.keys() - set(skipped)
        ):
            self._departed.setdefault(uid, now_s)  # it was deleted while the agent was down
        for pod in listed.values():
            self.put(pod, now_s)
        self.listed = True
        return left

    def forget_departed(self, now_s: float) -> tuple[str, ...]:
        """Drop pods that left long ago, with their container ids, and ids of living pods' instances that ended long ago.

        Returns the uids of the pods.
        """
        for container_id in [one for one, at in self._unnamed.items() if now_s - at > KEEP_S]:
            del self._unnamed[container_id], self._ids[container_id]
        old = tuple(uid for uid, at in self._departed.items() if now_s - at > KEEP_S)
        for uid in old:
            pod = self._pods.pop(uid, None)
            self._named.pop(uid, None)
            del self._departed[uid]
            if pod is not None and self._by_key.get(pod.cgroup_key) is pod:
                del self._by_key[pod.cgroup_key]
        if old:
            self._remembered = {
                key: [d for d in decisions if d.pod_uid not in old] for key, decisions in self._remembered.items()
            }
            self._ids = {cid: identity for cid, identity in self._ids.items() if identity.pod_uid not in old}
            self._unnamed = {cid: at for cid, at in self._unnamed.items() if cid in self._ids}
        return old

    def pod_of(self, place: CgroupPlace) -> Pod | None:
        """The pod that this cgroup belongs to; None: the API has not named it (yet)."""
        return self._by_key.get(place.pod_key) if place.pod_key is not None else None

    def identity(self, place: CgroupPlace) -> Identity | None:
        """The container by name; None while the API has not named the id (for a pause sandbox it never does)."""
        return self._ids.get(place.container_id) if place.container_id is not None else None

    def live_ids(self, pod: Pod) -> frozenset[str]:
        """Container ids of the pod that the API names as running now."""
        return frozenset(c.container_id for c in pod.containers if c.container_id is not None and c.running)

    def remembered(self, place: CgroupPlace) -> tuple[KeptDecision, ...]:
        """The ledger's decisions for this place's pod."""
        return tuple(self._remembered.get(place.pod_key, ())) if place.pod_key is not None else ()

    def forget_remembered(self, key: str) -> None:
        """The API knows this pod: what it says counts from now on."""
        self._remembered.pop(key, None)
