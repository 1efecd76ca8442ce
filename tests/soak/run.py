"""The soak from beginning to end: act for so long, let the node come to rest, look at it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

from tests.bench.processes import between, usage
from tests.soak.actions import ALWAYS, ON_THE_AGENT, Actions, act, start_pod
from tests.soak.hostile import HOSTILE
from tests.soak.invariants import Rest
from tests.soak.world import Kind, Sample, Sampler, World, make_world, now

ON_THE_AGENT_SHARE = (
    0.6  # of the time agents are killed; the last of them lives until the end, for its memory to be seen
)
PAUSE_S = 0.2
FIRST_PODS = 6
SETTLE_S = 160.0  # for the knobs, after all trouble has ended: a watch that fell silent is noticed after two minutes
TOLD_S = 180.0  # for the Events: a pod that had many has a budget of one a minute
REST_S = 12.0
RECOVER = "(recover "  # in the controller's User-Agent: its requests are none of the agent's


class UnheldError(AssertionError):
    """Containers that are not as their pods ask, long after all trouble."""


def soak(work: Path, driver: str, seconds: float, seed: int) -> tuple[World, Rest]:
    """All of it; the world is left standing. Raises what the lab's own trouble raises."""
    chance = random.Random(seed)
    world = make_world(work, driver)
    try:
        for _ in range(FIRST_PODS):
            act(world, chance, ((start_pod, 1),))
        sampler = Sampler(world)
        trouble(world, chance, seconds)
        calm(world)
        sampler.end()
        return world, rest(world)
    except BaseException:
        shutil.copy(world.node.agent.log_path, Path(os.environ["OOMWARD_LAB_OUT"]) / "soak-agent.log")
        world.close()
        raise


def trouble(
    world: World,
    chance: random.Random,
    seconds: float,
    always: Actions = ALWAYS,
    early: Actions = ON_THE_AGENT,
    share: float = ON_THE_AGENT_SHARE,
) -> None:
    """Each kind of action once, in any order; then by chance, one after the other. ``early``: in this share of the time only."""
    began = now()
    each = [action for action, _ in (*always, *early)]
    chance.shuffle(each)
    for action in each:
        act(world, chance, ((action, 1),))
        time.sleep(PAUSE_S)
    while (passed := now() - began) < seconds:
        act(world, chance, (*always, *early) if passed < share * seconds else always)
        time.sleep(PAUSE_S)


def calm(world: World) -> None:
    """The trouble ends: no more faults, nobody eats. Then what is left to be done is done."""
    node = world.node
    node.api.faults.clear()
    for lodger in [lodger for lodger in world.lodgers if lodger.dies]:
        node.kubelet.delete_pod(lodger.pod)
        world.lodgers.remove(lodger)
    node.agent.wait_ready(SETTLE_S)
    wait_until_right(world)
    odd = {lodger.pod.name for lodger in world.lodgers if lodger.kind is Kind.BAD}
    node.agent.wait_for(lambda: all(node.events("OOMModeInvalid", pod) for pod in odd), TOLD_S, f"told of {odd}")
    node.agent.wait_for(lambda: everything_told(world), TOLD_S, "told of the first kills of every pod")
    node.wait_for_a_full_look()
    time.sleep(2.0)


def wait_until_right(world: World) -> None:
    """Until each container that runs has what its pod asks for. Raises UnheldError with those that have not."""
    until = now() + SETTLE_S
    while wrong := world.wrong_knobs():
        if now() > until:
            raise UnheldError("\n".join(wrong))
        time.sleep(0.1)


def everything_told(world: World) -> bool:
    """Whether the API has an Event of every pod that the metrics say had a kill."""
    counted = [dict(labels) for (name, labels), count in world.node.agent.metrics().items()
               if name == "oomward_oom_kills_total" and count]  # fmt: skip
    killed = {labels["pod"] for labels in counted if not labels["namespace"].startswith(HOSTILE)}
    told = {e["regarding"]["name"] for e in world.node.api.events if "OOMKilled" in e["reason"]}
    return killed - {"", "unknown"} <= told


def rest(world: World) -> Rest:
    """A while in which nothing happens; then another agent, to compare with. Raises what kept the witness from its work."""
    pid, requests = world.node.agent.process.pid, world.node.api.requests
    writes, asked, before = world.witness.total, len(requests), usage(pid)
    time.sleep(REST_S)
    cost = between(before, usage(pid))
    asked = sum(RECOVER not in request.user_agent for request in requests[asked:])
    written = world.witness.total - writes
    last = look(world)
    world.end_agent(signal.SIGTERM)
    world.start_agent().wait_ready()
    world.node.wait_for_a_full_look()
    time.sleep(11.0)  # its housekeeping, which sets the gauges, comes every 10 s
    fresh = look(world)
    world.note_what_must_stay_zero()
    world.witness.check()
    return Rest(cost.seconds, cost.wakeups, asked, written, last, fresh)


def look(world: World) -> Sample:
    """One look that must succeed."""
    world.sample()
    return world.samples[-1]
