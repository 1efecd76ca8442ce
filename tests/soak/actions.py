"""What happens to the node: one action after the other, by chance but repeatable, each short.

Takes the World and a Random; changes pods, knobs, the API, the kernel's log and the agent. What can't be done just now
(there is no such pod, the container died a moment ago) is counted as missed and nothing else.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.kernel.conftest import MODE, RUNTIMES
from tests.lab import rewriters
from tests.lab.apifaults import Fault, How
from tests.lab.spec import Container, Instance, Pod
from tests.soak.world import BAD_MODE, Kind, Lodger, World, now

FEWEST, MOST = 5, 12  # pods at once
SECRET = "--token=swordfish"
HERD = ("herd", "1", "0", "5", "1500", "hog", SECRET)  # a child that eats, replaced 1.5 s after it was killed
DYING = ("family", "2", "0", "3")  # in mode group the whole container dies of it
QUIET = ("family", "1", "1", "0")
FAKE_LINES = (
    "Memory cgroup out of memory: Killed process 1 (fake) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:0",
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/kubepods,task_memcg=/kubepods,"
    "task=fake,pid=1,uid=0",
    "x" * 900,
)
FLOOD = 6000  # lines: 5 MB, more than the lab kernel's log holds, so that a slow reader loses some
VERBS = ("", "watch", "list", "create", "patch")


class MissedError(Exception):
    """There is nothing to do it to."""


def some_instance(world: World, chance: random.Random, kinds: Iterable[Kind], *, dies: bool | None = None) -> Instance:
    """A container that runs, of a pod of these kinds. Raises MissedError."""
    wanted = set(kinds)
    lodgers = [x for x in world.lodgers if x.kind in wanted and (dies is None or x.dies is dies)]
    found = [instance for lodger in lodgers for instance in world.instances(lodger)]
    if not found:
        raise MissedError
    return chance.choice(found)


# ---------------------------------------------------------------------------------------------------------------- pods


def start_pod(world: World, chance: random.Random) -> None:
    """One more, of any kind, with one container or two, by either runtime."""
    if len(world.lodgers) >= MOST:
        raise MissedError
    kind, dies = chance.choice(list(Kind)), chance.random() < 0.4
    label = {Kind.SINGLE: "single", Kind.GROUP: "group", Kind.BAD: BAD_MODE, Kind.FLIPS: "Single"}.get(kind)
    args = (HERD if kind in (Kind.SINGLE, Kind.FLIPS) else DYING) if dies else QUIET
    containers = tuple(Container(f"c{i}", args, world.limit_mib + i) for i in range(chance.choice((1, 1, 2))))
    labels = {MODE: label} if label is not None else {}
    pod = Pod(
        f"{kind}-{world.done['start_pod']}",
        containers,
        labels=labels,
        annotations=world.annotations,
        runtime=chance.choice(RUNTIMES),
    )
    world.lodgers.append(Lodger(kind, pod, dies))
    if kind is Kind.BAD:
        world.odd_uids.add(pod.uid)
    world.node.kubelet.run_pod(pod)


def delete_pod(world: World, chance: random.Random) -> None:
    """Any."""
    if len(world.lodgers) <= FEWEST:
        raise MissedError
    lodger = world.lodgers.pop(chance.randrange(len(world.lodgers)))
    world.node.kubelet.delete_pod(lodger.pod)


def flip_label(world: World, chance: random.Random) -> None:
    """On or off."""
    found = [lodger for lodger in world.lodgers if lodger.kind is Kind.FLIPS]
    if not found:
        raise MissedError
    lodger = chance.choice(found)
    labels = {} if MODE in lodger.pod.labels else {MODE: "single"}
    lodger.pod = world.node.kubelet.relabel(lodger.pod, labels=labels)


def crash(world: World, chance: random.Random) -> None:
    """PID 1 dies; the kubelet starts it again."""
    world.node.kubelet.kill(some_instance(world, chance, Kind, dies=False))


def execute(world: World, chance: random.Random) -> None:
    """Somebody's shell in a container eats all there is: a kill of single, the end of the others."""
    world.node.kubelet.execute(some_instance(world, chance, Kind, dies=False), "eat", "0", "glutton", "0", "1000")


def resize(world: World, chance: random.Random) -> None:
    """In place, up and down."""
    instance = some_instance(world, chance, (Kind.SINGLE, Kind.GROUP, Kind.PLAIN), dies=False)
    lodger = next(x for x in world.lodgers if x.pod.uid == instance.pod.uid)
    limit_mib = chance.choice((world.limit_mib, 2 * world.limit_mib))
    lodger.pod = world.node.kubelet.resize(lodger.pod, instance.container, limit_mib)


# ----------------------------------------------------------------------------------------------------------- adversary


def rewrite(world: World, chance: random.Random) -> None:
    """systemd, or anybody, writes a 0."""
    rewriters.set_property(some_instance(world, chance, (Kind.SINGLE, Kind.GROUP)))


def rewrite_single(world: World, chance: random.Random) -> None:
    """Somebody writes a 1."""
    instance = some_instance(world, chance, (Kind.SINGLE,))
    rewriters.fight(instance, 1, 1, 0.0)


def rewrite_all(world: World, chance: random.Random) -> None:
    """The kubelet's static CPU policy: every container of the node, 0 and then 1."""
    rewriters.static_cpu_policy(i for lodger in world.lodgers if lodger.held for i in world.instances(lodger))


def fight(world: World, chance: random.Random) -> None:
    """Somebody insists, for more than a second."""
    rewriters.fight(some_instance(world, chance, (Kind.SINGLE,)), 1, 15, 0.08)


# ------------------------------------------------------------------------------------------------------ API, log, agent


def api_fault(world: World, chance: random.Random) -> None:
    """Of any kind, for some requests."""
    for _ in range(chance.randint(1, 3)):
        how = chance.choice(tuple(How))
        verb = chance.choice(VERBS)
        world.node.api.faults.add(
            Fault(how, verb, times=chance.randint(1, 3), status=chance.choice((401, 403, 429, 500, 503)), delay_s=0.2)
        )
    if chance.random() < 0.3:
        world.node.api.store.forget_history()


def api_away(world: World, chance: random.Random) -> None:
    """It goes, and comes back."""
    world.node.api.close()
    time.sleep(chance.uniform(0.2, 2.0))
    world.node.api.start()


def flood_log(world: World, chance: random.Random) -> None:
    """A container that may write /dev/kmsg does so, and claims kills that never were."""
    Path("/proc/sys/kernel/printk_devkmsg").write_text("on\n")
    began = now()
    log = os.open("/dev/kmsg", os.O_WRONLY)
    try:
        for number in range(chance.randint(FLOOD // 10, FLOOD)):
            line = FAKE_LINES[number % 10] if number % 10 < len(FAKE_LINES) else FAKE_LINES[-1]
            os.write(log, f"<4>{line}\n".encode())
    finally:
        os.close(log)
        world.blind.append((began, now() + 2.0))


def kill_agent(world: World, chance: random.Random) -> None:
    """kill -9, or an upgrade; some time later there is another."""
    began = now()
    world.end_agent(chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
    time.sleep(chance.uniform(0.0, 1.5))
    agent = world.start_agent()
    if chance.random() < 0.7:
        agent.wait_for(lambda: agent.get("/healthz")[0] == 200, 60, "alive")
    world.blind.append((began, now() + BLIND_AFTER_START_S))


def stop_agent(world: World, chance: random.Random) -> None:
    """It is not let run for a while."""
    began, process = now(), world.node.agent.process
    process.send_signal(signal.SIGSTOP)
    time.sleep(chance.uniform(0.2, 2.0))
    process.send_signal(signal.SIGCONT)
    world.blind.append((began, now() + 1.0))


BLIND_AFTER_START_S = 15.0  # until it surely has read everything once
Action = Callable[[World, random.Random], None]
Actions = tuple[tuple[Action, int], ...]
ALWAYS: Actions = (
    (start_pod, 14),
    (delete_pod, 10),
    (flip_label, 10),
    (crash, 5),
    (execute, 8),
    (resize, 4),
    (rewrite, 8),
    (rewrite_single, 8),
    (rewrite_all, 4),
    (fight, 2),
    (api_fault, 8),
    (api_away, 3),
    (flood_log, 2),
)
ON_THE_AGENT: Actions = ((kill_agent, 8), (stop_agent, 4))


def act(world: World, chance: random.Random, actions: Actions) -> None:
    """One of them, by weight."""
    (action,) = chance.choices([each for each, _ in actions], [weight for _, weight in actions])
    name = action.__name__
    world.note_action(name)
    missed: tuple[type[Exception], ...] = (MissedError, OSError, StopIteration, *world.node.kubelet.FAILURES)
    try:
        action(world, chance)
    except TimeoutError:
        raise  # the lab's own trouble
    except missed:
        world.missed[name] += 1  # the container died meanwhile, say
    else:
        world.done[name] += 1
