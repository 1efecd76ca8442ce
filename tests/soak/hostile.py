"""The hostile tenants: what they do over and over, each attack in a thread of its own, all in namespaces of their own.

Each attack is a generator: it does a step, and yields the seconds until the next one.
"""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import cgroups
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.lab.kubelet import MOUNT, Kubelet
from tests.lab.runtime import HOG
from tests.lab.spec import Container, Instance, Pod
from tests.soak.honest import MODE

Steps = Generator[float, None, None]
EVENTS = "/apis/events.k8s.io/v1/namespaces/"
HOSTILE = "hostile-"
NAMESPACES = ("hostile-a", "hostile-b", "hostile-c")
ANNOTATIONS, ANNOTATION_BYTES, CHANGES = 10, 250_000, 120
REFUSALS = (429, 403, 503, 504, 500)
LARGE_BYTES = (8_000_000, 8_500_000, 9_000_000, 12_000_000)  # the agent reads up to 10 MiB
STORABLE_BYTES = (1_300_000, 1_400_000)  # etcd takes 1.5 MiB
STORABLE_ANNOTATION_BYTES = 25_000  # all of an object: 256 KiB
MANY = (500, 5_000, 10_000, 20_000)  # containers of one pod; the agent reads up to 500
SPARED = "-1000"


@dataclass(slots=True)
class Field:
    """What an attack acts on. ``victims`` are honest containers that run. ``storable``: no object is larger than a real API takes."""

    api: ApiServer
    kubelet: Kubelet
    node_name: str
    victims: Callable[[], list[Instance]]
    storable: bool = False
    done: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(default_factory=lambda: random.Random(16))


def flapping_annotations(world: Field) -> Steps:
    """Ten large invalid values on one pod, changed 120 times; the label with them. Then a while of nothing."""
    pod = start(world, Pod("flapping", (Container("main", ("pause",)),), NAMESPACES[0]))
    size = STORABLE_ANNOTATION_BYTES if world.storable else ANNOTATION_BYTES
    while True:
        for change in range(CHANGES):
            bad = {f"mode.oomward.dev/c{n}": f"{change}" + "x" * size for n in range(ANNOTATIONS)}
            pod = world.kubelet.relabel(pod, annotations=bad, labels={MODE: f"bad-{change}\x1b[31m"})
            world.done["changes of bad annotations"] += 1
            yield 0.4
        yield 40.0


def large_pods(world: Field) -> Steps:
    """Pods of 8 to 12 MB that change, and lists of them all, since the API forgets its history."""
    while True:
        for number, size in enumerate(STORABLE_BYTES if world.storable else LARGE_BYTES):
            put(world, f"large-{number}", 1, {"note": "y" * (size + world.chance.randrange(1000))})
            world.done["changes of large pods"] += 1
            yield 6.0
        world.api.store.forget_history()
        world.done["relists"] += 1
        yield 6.0


def pods_of_many_containers(world: Field) -> Steps:
    """In the API only: they come, change and go."""
    while True:
        for many in MANY:
            for change in range(3):
                put(world, f"many-{many}", many, {"change": str(change)})
                world.done["changes of pods with thousands of containers"] += 1
                yield 7.0
            if world.chance.random() < 0.5:
                world.api.delete_pod(NAMESPACES[1], f"many-{many}")


def kills_by_the_hundred(world: Field) -> Steps:
    """A steady herd, and now and then another pod with as many kills as the kernel can make."""
    steady = Pod("steady", (Container("main", ("herd", "2", "0", "2", "300"), 12),), NAMESPACES[0], {MODE: "single"})
    start(world, steady, spared=True)
    for number in range(1_000_000):
        yield 30.0
        burst = Pod(
            f"burst-{number}",
            (Container("main", ("herd", "2", "0", "0", "0"), 8),),
            NAMESPACES[number % 3],
            {MODE: "single"},
        )
        start(world, burst, spared=True)
        world.done["bursts of kills"] += 1
        try:
            yield 6.0
        finally:
            world.kubelet.delete_pod(burst)


def refused_events(world: Field) -> Steps:
    """Of one hostile namespace, or of all of them; honest ones are never refused."""
    while True:
        namespace = world.chance.choice((*NAMESPACES, HOSTILE))
        seconds = world.chance.choice((None, 1, 120))
        fault = Fault(
            How.STATUS, path=EVENTS + namespace, times=None, status=world.chance.choice(REFUSALS), retry_after_s=seconds
        )
        world.api.faults.add(fault)
        world.done["times that Events are refused"] += 1
        yield 20.0
        world.api.faults.drop(fault)
        yield world.chance.uniform(0.0, 5.0)


def short_containers(world: Field) -> Steps:
    """A pod every few seconds whose container ends at once."""
    for number in range(1_000_000):
        pod = Pod(
            f"short-{number}",
            (Container("main", ("end", "0")),),
            NAMESPACES[2],
            {MODE: "single"},
            restart_policy="Never",
        )
        start(world, pod)
        world.done["short containers"] += 1
        yield 1.5
        world.kubelet.delete_pod(pod)


def impostors(world: Field) -> Steps:
    """Cgroups named like an honest container's, below one's own container and in a user's slice, with kills in them; and the memory
    controller of one's own children switched off and on.
    """
    pod = Pod("nester", (Container("main", ("nest", "1", "10")),), NAMESPACES[1], {MODE: "single"})
    start(world, pod)
    own = world.kubelet.running(pod, "main").path
    control = MOUNT / own / "cgroup.subtree_control"
    yield 3.0
    while True:
        if victims := world.victims():
            victim = world.chance.choice(victims)
            named = f"kubepods/burstable/pod{victim.pod.uid}/{victim.container_id}"
            for above, name in ((own, victim.path), (own, named), ("user.slice", named)):
                kill_in(f"{above}/{name}")
                cgroups.remove(f"{above}/{name.partition('/')[0]}")
                world.done["kills in cgroups with a stolen name"] += 1
                yield 1.0
        for change in ("-memory", "+memory"):
            control.write_text(change)
            yield 0.5
        world.done["memory controller off and on"] += 1


def kill_in(path: str) -> None:
    """A process uses more than a small limit of a new cgroup."""
    cgroups.make(path)
    cgroups.set_limit(path, 4 << 20)
    procs = MOUNT / path / "cgroup.procs"
    command = f"echo $$ > {procs} && exec {HOG} eat 0 $(printf 'evil\\033[2J') 2"
    subprocess.run(["sh", "-c", command], check=False, timeout=30, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start(world: Field, pod: Pod, *, spared: bool = False) -> Pod:
    """``spared``: PID 1 is none of those that are killed."""
    (instance,) = world.kubelet.run_pod(pod)
    if spared:
        with suppress(OSError):
            Path(f"/proc/{instance.pid}/oom_score_adj").write_text(SPARED)
    return pod


def put(world: Field, name: str, containers: int, annotations: dict[str, str]) -> None:
    """A pod that only the API has."""
    spec = [{"name": f"c{n}", "image": "x", "resources": {"limits": {"memory": "64Mi"}}} for n in range(containers)]
    metadata = {
        "name": name,
        "namespace": NAMESPACES[1],
        "uid": f"uid-{name}",
        "labels": {MODE: "single"},
        "annotations": annotations,
    }
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "status": {"phase": "Running", "qosClass": "Burstable"},
    }
    world.api.put_pod({**pod, "spec": {"nodeName": world.node_name, "restartPolicy": "Always", "containers": spec}})


ATTACKS: tuple[Callable[[Field], Steps], ...] = (
    flapping_annotations,
    large_pods,
    pods_of_many_containers,
    kills_by_the_hundred,
    refused_events,
    short_containers,
    impostors,
)


class Attackers:
    """All attacks from now on, until end(). ``pace``: the time between steps, in proportion to what the attack asks for."""

    def __init__(self, world: Field, attacks: Sequence[Callable[[Field], Steps]] = ATTACKS, pace: float = 1.0) -> None:
        self._pace = pace
        self.failures: list[str] = []  # of the lab's, not of the agent's
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(attack, world), name=attack.__name__) for attack in attacks
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, attack: Callable[[Field], Steps], world: Field) -> None:
        own: tuple[type[Exception], ...] = (OSError, StopIteration, subprocess.TimeoutExpired, *world.kubelet.FAILURES)
        while not self._over.is_set():
            try:
                with closing(attack(world)) as steps:
                    for pause_s in steps:
                        if self._over.wait(pause_s * self._pace):
                            return
            except own as error:
                self.failures.append(f"{attack.__name__}: {error!r}"[:300])
                time.sleep(5.0)

    def end(self) -> None:
        """No more of it; what is there stays."""
        self._over.set()
        for thread in self._threads:
            thread.join()
