"""The honest tenants: pods in mode single whose workers are killed every few seconds, and pods in mode group that are killed once.

Pods come and go, since an Event's first report is what must be quick: later kills only raise its count. Used by one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.lab.kubelet import Kubelet, memory_events
from tests.lab.spec import Container, Instance, Pod

MODE = "oomward.dev/mode"
NAMESPACES = ("honest-a", "honest-b")
SINGLES, GROUPS = 3, 2
LIMIT_MIB, POD_LIMIT_MIB = 16, 64
HERD = ("herd", "1", "0", "120", "1500")  # a worker that is killed some 2 s after its start, and replaced 1.5 s later
FAMILY = ("family", "2", "0", "150")
SINGLE_LIVES_S, DEAD_STAYS_S, FOREVER_S = 40.0, 12.0, 1e9
BETWEEN_S = (1.0, 2.2)  # after a kill: its outcome is known, and the next is not near
ENDED_S = 90.0
TERMINATING_S = 0.5


@dataclass(slots=True)
class Guest:
    """A pod and until when it stays; None: until some time after its end. ``killed_s``: when its ``kills`` were last seen to rise."""

    pod: Pod
    instance: Instance
    until_s: float | None
    kills: int = 0
    killed_s: float = 0.0

    def look(self) -> None:
        """At the kernel's counter."""
        if (kills := memory_events(self.instance.path).get("oom_kill", 0)) != self.kills:
            self.kills, self.killed_s = kills, time.monotonic()

    def over(self) -> bool:
        """Whether it may leave now. A single one leaves between two kills, so that nobody can take its end for that of a kill."""
        now_s = time.monotonic()
        if self.until_s is None:
            return self.instance.ended_s is not None and now_s > self.instance.ended_s + DEAD_STAYS_S
        return now_s > self.until_s and BETWEEN_S[0] < now_s - self.killed_s < BETWEEN_S[1]


@dataclass(slots=True)
class Honest:
    """``publish`` takes a pod's object for the API; ``look_at`` is called with each container that starts."""

    kubelet: Kubelet
    publish: Callable[[dict[str, Any]], None]
    look_at: Callable[[Instance], None]
    instances: list[Instance] = field(default_factory=list)
    deleted_s: dict[str, float] = field(default_factory=dict)  # by pod: before that moment nobody ended it
    _guests: list[Guest] = field(default_factory=list)
    _number: int = 0
    _coming: bool = True

    def begin(self) -> None:
        """One of the single ones stays to the end."""
        self._start("single", HERD, time.monotonic() + FOREVER_S)

    def turn(self) -> None:
        """Pods whose time is over leave, and at most one comes."""
        now_s = time.monotonic()
        for guest in self._guests:
            guest.look()
        for guest in [each for each in self._guests if each.over()][:1]:
            self._guests.remove(guest)
            self._delete(guest.pod)
        if not self._coming:
            return
        kinds = [guest.pod.labels[MODE] for guest in self._guests]
        if kinds.count("single") < 1 + SINGLES:
            self._start("single", HERD, now_s + SINGLE_LIVES_S)
        elif kinds.count("group") < GROUPS:
            self._start("group", FAMILY, None)

    def end(self) -> None:
        """All leave, as soon as they may; no other comes."""
        self._coming = False
        for guest in self._guests:
            guest.until_s = None if guest.until_s is None else 0.0
        until_s = time.monotonic() + ENDED_S
        while self._guests:
            if time.monotonic() > until_s:
                raise TimeoutError(f"no kill of {[guest.pod.name for guest in self._guests]} after which to leave")
            self.turn()
            time.sleep(0.1)

    def _delete(self, pod: Pod) -> None:
        """As in a cluster: the API has it as terminating before the kubelet ends it."""
        self.deleted_s[pod.name] = time.monotonic()
        status: dict[str, Any] = self.kubelet.status(pod)
        self.publish(
            {
                **status,
                "metadata": {
                    **status["metadata"],
                    "deletionTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                },
            }
        )
        time.sleep(TERMINATING_S)
        self.kubelet.delete_pod(pod)

    def _start(self, mode: str, args: tuple[str, ...], until_s: float | None) -> None:
        self._number += 1
        pod = Pod(
            f"{mode}-{self._number}",
            (Container("main", args, LIMIT_MIB),),
            namespace=NAMESPACES[self._number % 2],
            labels={MODE: mode},
            restart_policy="Never",
            runtime=("crun", "runc")[self._number % 3 == 0],
            limit_mib=POD_LIMIT_MIB,
        )
        (instance,) = self.kubelet.run_pod(pod)
        self.instances.append(instance)
        self._guests.append(Guest(pod, instance, until_s))
        self.look_at(instance)
