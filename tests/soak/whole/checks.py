"""The invariants of DESIGN.md and docs/architecture.md at the end of this soak: each a sentence per violation."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing

from agent.ledger.store import FILE
from agent.model.recover import State
from tests.lab.cgroups import memory_events
from tests.lab.runtime import first_look
from tests.soak.invariants import INVARIANTS, KNOB, Rest, asleep, kills_of, uid_of
from tests.soak.oracle import PodTruth, pod_disagreements
from tests.soak.whole.cri import killed
from tests.soak.whole.owners import ACTION, Fate
from tests.soak.whole.sizes import grown, stored_too_much
from tests.soak.whole.world import Whole
from tests.soak.world import Kind

MOST_ATTEMPTS = 3
REGISTERED_S = 10.0  # a connection that is as old as that was in use
CONTAINER = re.compile(
    r"kubepods\.slice/.*-pod[0-9a-f_]{36}\.slice/(?:cri-containerd|crio)-([0-9a-f]{64})\.scope(/container)?\Z"
)
Check = Callable[[Whole, Rest], list[str]]


def nothing_else_is_written(world: Whole, rest: Rest) -> list[str]:
    """1, 3. As on any node; a container that failed to start may have been written to, a sandbox never."""
    found = [f"{count} writes to {name}" for name, count in world.witness.files.items() if name != KNOB]
    for path in world.witness.paths:
        match = CONTAINER.match(path)
        if match is None or match[1] in world.kubelet.sandbox_ids:
            found.append(f"{path} was written to, which is no container's")
    if rest.writes:
        found.append(f"{rest.writes} writes while nothing happened")
    return found if world.witness.paths else [*found, "the agent wrote nothing in all that time: this proves nothing"]


def right_at_the_first_instruction(world: Whole, rest: Rest) -> list[str]:
    """3. Wherever the runtime could ask the agent."""
    found, seen = [], 0
    lapses = [*world.unasked, *world.blind]
    for instance in world.honest():
        kind = instance.pod.name.partition("-")[0]
        look = first_look(instance.container_id)
        if kind not in (Kind.SINGLE, Kind.GROUP) or look is None:
            continue
        value, at_ns = look
        at_s = at_ns / 1e9
        if any(began <= at_s and instance.started_s <= until for began, until in lapses):
            continue
        if not world.proxy.lived(instance.started_s - REGISTERED_S, at_s):
            continue
        seen += 1
        if value != ("0" if kind == Kind.SINGLE else "1"):
            found.append(f"{instance.pod.name} ({instance.pod.runtime}) began with {value}")
    return found if seen else ["no container began while the runtime could ask: this proves nothing"]


def what_is_not_true_is_said(world: Whole, rest: Rest) -> list[str]:
    """4, and that no disk stands between a write and ours: what actions saw while something was wrong."""
    return world.broken


def every_kill_is_recorded_once(world: Whole, rest: Rest) -> list[str]:
    """As many as the slice of each pod counted. Here a container's cgroup is gone with its last process, so pods are compared."""
    recorded: Counter[str] = Counter()
    nameless = 0
    for kill in kills_of(world):
        if (uid := uid_of(kill)) is None:
            nameless += kill.processes
        else:
            recorded[uid] += kill.processes
    found = pod_disagreements(pod_truths(world), dict(recorded), nameless)
    return found if recorded else [*found, "there was no kill in all that time: this proves nothing"]


def pod_truths(world: Whole) -> list[PodTruth]:
    """Of all honest pods."""
    truths, kubelet = [], world.kubelet
    for uid, pod in {i.pod.uid: i.pod for i in world.honest()}.items():
        least, most = killed(kubelet.counted.get(uid) or memory_events(kubelet.driver.pod_path(pod)))
        ended_s = kubelet.deleted_s.get(uid)
        unseen = ended_s is not None and any(began <= ended_s <= until for began, until in world.blind)
        truths.append(PodTruth(uid, pod.name, kubelet.least.get(uid, least), most, unseen))
    return truths


def attackers_cost_nobody_anything(world: Whole, rest: Rest) -> list[str]:
    """6. Each honest pod that has a record of a kill has its Event; nothing that attackers called for names an honest pod."""
    killed_uids = {kill.pod_uid for kill in kills_of(world) if kill.pod is not None}
    told = {e["regarding"].get("uid") for e in world.node.api.events if "OOMKilled" in e["reason"]}
    names = {i.pod.uid: i.pod.name for i in world.honest()}
    found = [f"no Event of a kill in {names.get(uid or '', uid)}" for uid in killed_uids - told]
    evil = [k for k in kills_of(world) if k.container_id and any(v.comm.startswith("evil") for v in k.victims)]
    return found + [f"an attacker's kill is an honest pod's: {kill}" for kill in evil]


def recoveries_are_bounded(world: Whole, rest: Rest) -> list[str]:
    """5. No owner is fought with; nothing acts on who did not ask; a success is a pod that became ready."""
    recovery, history = world.recovery, world.recovery.history()
    owners = {owner.name: owner for owner in recovery.owners.all}
    found = [*recovery.deaths, *([recovery.owners.failure] if recovery.owners.failure else [])]
    attempts, tries = Counter[str](), Counter[str]()
    for one in history.attempts:
        name = one.owner.rpartition("/")[2]
        attempts[name] += 1
        tries[name] += one.tries
        fate = owners[name].fate if name in owners else None
        if fate in (None, Fate.SILENT, Fate.CLOSED):
            found.append(f"an attempt for {one.owner}, which does not ask or is closed: {one}")
        elif one.action.value != ACTION.get(fate, fate.value):
            found.append(f"{one.owner} did not ask for {one.action}")
        if one.state is State.SUCCEEDED and fate is not Fate.CURED:
            found.append(f"a success for {one.owner}, whose pod was never ready: {one}")
    for name, effects in recovery.owners.effects.items():
        if effects > tries[name]:  # a try whose answer was lost may be repeated where its effect was undone meanwhile
            found.append(f"{name} was changed {effects} times, by {tries[name]} tries")
    found += [f"{count} attempts for {name}" for name, count in attempts.items() if count > MOST_ATTEMPTS]
    cured = {name for name in attempts if owners[name].fate is Fate.CURED}
    succeeded = {one.owner.rpartition("/")[2] for one in history.in_state(State.SUCCEEDED)}
    if not succeeded & cured:
        found.append("no recovery succeeded in all that time: this proves nothing")
    undone = {owner.fate for owner in recovery.owners.all if owner.reverted}
    for fate in {Fate.IMAGE, Fate.RETRY, Fate.STRATEGY, Fate.GROW} - undone:
        found.append(f"nobody undid a recovery of kind {fate}: this proves nothing")
    return found


def recover_reports_no_error(world: Whole, rest: Rest) -> list[str]:
    """Its log has nothing worse than warnings."""
    found = []
    for log in world.recovery.logs.values():
        for line in log.read_text(errors="replace").splitlines():
            entry = json.loads(line) if line.startswith("{") else {"level": "error", "message": line}
            if entry["level"] in ("error", "critical") or "exception" in entry:
                found.append(f"{log.name}: {str(entry['message'])[:300]}")
    return found


def all_is_flat(world: Whole, rest: Rest) -> list[str]:
    """Memory, descriptors, watches and files of the last agent and the last controllers."""
    return flat(world)[0]


def flat(world: Whole) -> tuple[list[str], dict[str, str]]:
    """The same, with figures."""
    wrong: list[str] = []
    figures: dict[str, str] = {}
    sizes = [size for size in world.sizes if size.at_s <= world.ended_s]
    pids = [world.last_agent, *world.recovery.pids()]
    for number, pid in enumerate(pids):
        found, more = grown([size for size in sizes if size.pid == pid])
        wrong += found
        figures |= {f"{name} ({number})" if number else name: value for name, value in more.items()}
    with closing(sqlite3.connect(f"file:{world.state / FILE}?mode=ro", uri=True)) as ledger:
        ((kills,),) = ledger.execute("SELECT count(*) FROM kill")
    wrong += stored_too_much([size for size in world.sizes if size.program == "agent"][-1], kills)
    return wrong, figures | {"kills in the ledger": str(kills)}


CHECKS: dict[str, Check] = {
    **{name: lambda world, rest, check=check: check(world, rest) for name, check in INVARIANTS.items()},  # type: ignore[misc]
    "nothing but memory.oom.group is written": nothing_else_is_written,
    "idle means asleep": asleep,
    "right at the first instruction, where the runtime can ask": right_at_the_first_instruction,
    "what is not true is said; no disk is waited for": what_is_not_true_is_said,
    "every kill once, on the right container": every_kill_is_recorded_once,
    "attackers cost nobody anything": attackers_cost_nobody_anything,
    "recoveries are bounded, and no fight": recoveries_are_bounded,
    "recover reports no error": recover_reports_no_error,
    "all is flat": all_is_flat,
}
