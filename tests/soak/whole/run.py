"""This soak from beginning to end: trouble for so long, then calm, then the checks."""

from __future__ import annotations

import faulthandler
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from agent.model.recover import State
from tests.kernel.conftest import NODE
from tests.lab.cgroups import remove
from tests.soak import actions, hostile, run
from tests.soak.hostile import HOSTILE, Attackers, Field, Steps, kill_in
from tests.soak.invariants import Rest
from tests.soak.tenants import ATTACKERS, attacker
from tests.soak.whole.actions import ALWAYS, COUNTED_S, EARLY
from tests.soak.whole.world import Whole, make_whole
from tests.soak.world import Sampler, now

REQUESTS_PER_S, PACE = 10, 3.0  # less than in KIND=tenants: this machine has more to do
EARLY_SHARE = 0.4  # programs are killed then; the last ones live long enough for their memory to be judged
RECOVERED_S = 60.0  # for the last owners' recoveries to come to an end


def impostors(field: Field) -> Steps:
    """Cgroups of a user's that are named like an honest container's, with kills in them."""
    while True:
        if victims := field.victims():
            victim = field.chance.choice(victims)
            above = "user.slice/impostor"
            kill_in(f"{above}/{victim.path}")
            remove(above)
            field.done["kills in cgroups with a stolen name"] += 1
        yield 5.0


ATTACKS = (
    hostile.flapping_annotations,
    hostile.large_pods,
    hostile.pods_of_many_containers,
    hostile.kills_by_the_hundred,
    hostile.refused_events,
    hostile.short_containers,
    impostors,
)


def soak(work: Path, seconds: float, seed: int, stacks: TextIO) -> tuple[Whole, Rest]:
    """All of it; the world is left standing. ``stacks`` is for a run that stands still. Raises what the lab's own trouble raises."""
    chance = random.Random(seed)
    world = make_whole(work)
    world.stacks = stacks
    try:
        for _ in range(run.FIRST_PODS):
            actions.act(world, chance, ((actions.start_pod, 1),))
        world.recovery.owners.begin()
        sampler = Sampler(world)
        with attacked(world, seed):
            run.trouble(world, chance, seconds, ALWAYS, EARLY, EARLY_SHARE)
        faulthandler.cancel_dump_traceback_later()
        world.ended_s, world.last_agent = now(), world.node.agent.process.pid
        calm(world)
        sampler.end()
        return world, run.rest(world)
    except BaseException:
        keep_logs(world)
        world.close()
        raise


@contextmanager
def attacked(world: Whole, seed: int) -> Iterator[None]:
    """Hostile tenants beside, until the end of this; then they and what is theirs are gone."""
    processes = [attacker(name, world.node, REQUESTS_PER_S) for name in ATTACKERS]
    victims = lambda: [i for i in world.honest()[-8:] if i.running]  # noqa: E731
    field = Field(world.node.api, world.kubelet, NODE, victims, storable=True, chance=random.Random(seed))
    attackers = Attackers(field, ATTACKS, PACE)
    try:
        yield
        world.missed.update({f"attacker {process.args!r}": 1 for process in processes if process.poll() is not None})
    finally:
        attackers.end()
        for process in processes:
            process.kill()
            process.wait()
        world.attacks = dict(field.done)
        world.troubles += attackers.failures
    world.node.api.faults.clear()
    world.node.api.clock = time.time
    pods = {i.pod.uid: i.pod for i in world.kubelet.instances if i.pod.namespace.startswith(HOSTILE)}
    for pod in [pod for uid, pod in pods.items() if uid not in world.kubelet.deleted_s]:
        world.kubelet.delete_pod(pod)
    for namespace, name in [key for key in world.node.api.store.pods if key[0].startswith(HOSTILE)]:
        world.node.api.delete_pod(namespace, name)


def calm(world: Whole) -> None:
    """The trouble ends, and what is left to be done is done."""
    dying = [lodger for lodger in world.lodgers if lodger.dies]
    for lodger in dying:
        world.kubelet.note_counted(lodger.pod)
    time.sleep(COUNTED_S)
    run.calm(world)
    world.wait_until_asked()
    agent = world.node.agent
    history = world.recovery.history
    agent.wait_for(lambda: history().in_state(State.SUCCEEDED), RECOVERED_S, "recovered a pod")
    world.recovery.owners.end()


def keep_logs(world: Whole) -> None:
    """Where they outlive the machine."""
    out = Path(os.environ["OOMWARD_LAB_OUT"])
    shutil.copy(world.node.agent.log_path, out / "soak-agent.log")
    for log in world.recovery.logs.values():
        shutil.copy(log, out / log.name)
    world.write_history()
    with suppress(OSError):
        (out / "soak-containerd.log").write_text(world.kubelet.containerd.log())
