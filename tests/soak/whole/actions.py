"""What happens to the machine beside what ``tests.soak.actions`` does: NRI, systemd, containerd, the clock, the disk, recover."""

from __future__ import annotations

import random
import signal
import time
from contextlib import suppress
from pathlib import Path

from agent.cgroup.files import OOM_GROUP
from tests.lab.cgroups import MOUNT
from tests.lab.systemd import in_tree
from tests.soak import actions
from tests.soak.actions import BLIND_AFTER_START_S, Actions, MissedError, some_instance
from tests.soak.whole.sizes import BALLAST
from tests.soak.whole.world import LATE_S, Whole
from tests.soak.world import Kind, World, now

STEPS_S = (-7200.0, -60.0, -2.0, 2.0, 60.0, 7200.0)
FULL_S = 30.0  # until the agent has something to write, and says that it can't
CORRECTED_S = 10.0
COUNTED_S = 3.0  # a kill is the agent's to count after that
BLOCK = 1 << 16


def whole(world: World) -> Whole:
    """The same; actions are called with any World."""
    assert isinstance(world, Whole)
    return world


# ---------------------------------------------------------------------------------------------------------------- NRI


def nri_cut(world: World, chance: random.Random) -> None:
    """The runtime closes the connection."""
    whole(world).proxy.cut()


def nri_hang(world: World, chance: random.Random) -> None:
    """Neither says a word for a while; the runtime gives a plugin up after 2 s."""
    began_s = now()
    whole(world).proxy.hang(chance.uniform(0.5, 5.0))
    whole(world).unasked.append((began_s, now() + LATE_S))  # what comes late ends the connection


def nri_gone(world: World, chance: random.Random) -> None:
    """The socket is away and comes back."""
    whole(world).proxy.go()
    time.sleep(chance.uniform(0.5, 3.0))
    whole(world).proxy.come()


def restart_containerd(world: World, chance: random.Random) -> None:
    """As an upgrade does."""
    whole(world).kubelet.restart_containerd()


# ------------------------------------------------------------------------------------------------------------ systemd


def daemon_reload(world: World, chance: random.Random) -> None:
    """It resets the values of runc's scopes: at once, or when a sibling starts."""
    in_tree("systemctl", "daemon-reload")


def daemon_reexec(world: World, chance: random.Random) -> None:
    """As an upgrade of systemd does."""
    in_tree("systemctl", "daemon-reexec")


def set_property(world: World, chance: random.Random) -> None:
    """systemctl set-property on a scope: systemd writes all that it knows of it."""
    instance = some_instance(world, chance, (Kind.SINGLE, Kind.GROUP))
    scope = next(part for part in instance.path.split("/") if part.endswith(".scope"))
    in_tree("systemctl", "set-property", "--runtime", scope, f"CPUWeight={chance.randint(1, 100)}")


# --------------------------------------------------------------------------------------------------------- clock, disk


def clock_step(world: World, chance: random.Random) -> None:
    """The machine's clock, forth and back, or back and forth; the API's is the same."""
    step_s = chance.choice(STEPS_S)
    for by_s in (step_s, -step_s):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + by_s)
        time.sleep(chance.uniform(0.5, 3.0))


def api_clock(world: World, chance: random.Random) -> None:
    """The API's clock is another than the node's, for a while: nobody leads then who can't know how long."""
    by_s = chance.choice(STEPS_S)
    world.node.api.clock = lambda: time.time() + by_s
    time.sleep(chance.uniform(1.0, 5.0))
    world.node.api.clock = time.time


def full_disk(world: World, chance: random.Random) -> None:
    """Nothing can be recorded. Containers are kept as they asked meanwhile, and the agent says what is wrong; it may be killed then."""
    node, began_s = world.node, now()
    ballast = whole(world).state / BALLAST
    try:
        _fill(ballast)
        instance = some_instance(world, chance, (Kind.SINGLE,), dies=False)
        lodger = next(each for each in world.lodgers if each.pod.uid == instance.pod.uid)
        file = MOUNT / instance.path / OOM_GROUP
        file.write_text("1")
        if not _until(lambda: file.read_text().strip() == lodger.wanted, CORRECTED_S):
            whole(world).broken.append(f"{instance.path} was not corrected within {CORRECTED_S:g} s on a full disk")
        actions.execute(world, chance)
        if not _until(lambda: "full disk" in node.agent.get("/readyz")[1], FULL_S):
            world.missed["full disk with something to write"] += 1
        if node.agent.get("/healthz")[0] != 200:
            whole(world).broken.append("/healthz does not answer 200 on a full disk")
        if chance.random() < 0.4:
            world.end_agent(signal.SIGKILL)
            world.retold |= {each.pod.name for each in world.lodgers}
    finally:
        ballast.unlink(missing_ok=True)
        if node.agent.process.poll() is not None:
            _start_again(world)
    if not _until(lambda: "full disk" not in node.agent.get("/readyz")[1], FULL_S):
        whole(world).broken.append("/readyz still says full disk, though there is room")
    world.blind.append((began_s, now() + BLIND_AFTER_START_S))


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for size in (BLOCK, 512, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)


def _until(condition: object, seconds: float) -> bool:
    """Whether it held in that time; a file of a container that ended meanwhile is as good."""
    assert callable(condition)
    until_s = now() + seconds
    with suppress(OSError):
        while not condition():
            if now() > until_s:
                return False
            time.sleep(0.1)
    return True


# ------------------------------------------------------------------------------------------------------ agent, recover


def kill_agent(world: World, chance: random.Random) -> None:
    """As on any node; and the runtime asks the new one."""
    began_s = now()
    world.end_agent(chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
    time.sleep(chance.uniform(0.0, 1.5))
    _start_again(world)
    world.blind.append((began_s, now() + BLIND_AFTER_START_S))


def kill_recover(world: World, chance: random.Random) -> None:
    """One replica of two."""
    whole(world).recovery.replace_one(chance)


def delete_pod(world: World, chance: random.Random) -> None:
    """Any. What was killed some time before its end has to be counted."""
    if len(world.lodgers) <= actions.FEWEST:
        raise MissedError
    lodger = world.lodgers.pop(chance.randrange(len(world.lodgers)))
    kubelet = whole(world).kubelet
    kubelet.note_counted(lodger.pod)
    time.sleep(COUNTED_S)
    kubelet.delete_pod(lodger.pod)


def _start_again(world: World) -> None:
    agent = world.start_agent()
    agent.wait_for(lambda: agent.get("/healthz")[0] == 200, 120, "alive")


REPLACED = (actions.delete_pod, actions.api_away)
ALWAYS: Actions = (
    *((action, weight) for action, weight in actions.ALWAYS if action not in REPLACED),
    (delete_pod, 10),
    (actions.api_away, 2),
    (nri_cut, 3),
    (nri_hang, 3),
    (nri_gone, 2),
    (restart_containerd, 2),
    (daemon_reload, 5),
    (daemon_reexec, 1),
    (set_property, 3),
    (clock_step, 3),
    (api_clock, 2),
)
EARLY: Actions = ((kill_agent, 6), (actions.stop_agent, 3), (full_disk, 3), (kill_recover, 4))
