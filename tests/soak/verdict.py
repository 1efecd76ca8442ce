"""What the honest tenants were owed, and whether they got it. Pure: takes what was seen, gives sentences and figures.

Each time is less what the machine wanted to run and did not (figures.Lost): a starved host is nobody's fault here. Nothing else is
forgiven.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.model import OomKill, Outcome, Scope
from tests.lab.spec import Instance
from tests.soak.figures import Lost, Points, by_lateness, by_processor, growth, spread
from tests.soak.honest import MODE
from tests.soak.oracle import disagreements, truths

EVENT_S, SCRAPE_S, METRIC_S = 5.0, 1.0, 5.0
SERIES_S = 240.0  # the series of a container end 300 s after its pod
MIB = 1 << 20
LIMIT_MIB = 128.0  # of the agent's memory, in its DaemonSet; what it has of files the kernel can take back
WARM_UP = 0.5  # of the time: the largest pods have come and gone several times
RSS_GROWTH_MIB, LEDGER_MIB = 8.0, 64.0
DESCRIPTORS, THREADS = 160, 90  # 3 × 16 clients, or 4 × that with a thread, and its own
WATCHES_PER_CGROUP, MORE_WATCHES = 3.0, 60
REASON = {"single": "ProcessOOMKilled", "group": "ContainerOOMKilled"}
WORKERS = {"worker", "helper", "hog"}


@dataclass(frozen=True, slots=True)
class Seen:
    """``lines`` are the probe's; ``events`` all that the API accepted, with the time; ``kills`` the ledger's of honest namespaces."""

    lines: Sequence[list[Any]]
    events: Sequence[tuple[float, dict[str, Any]]]
    instances: Sequence[Instance]
    deleted_s: Mapping[str, float]  # by pod: from then on the API had it as terminating
    kills: Sequence[OomKill]
    host: Points = ()  # CLOCK_MONOTONIC of the machine, and the processor time that the host has given to it; empty: not known

    def of(self, kind: str) -> list[Any]:
        """What these lines have beside their kind."""
        return [tuple(line[1:]) for line in self.lines if line[0] == kind]


def judge(seen: Seen) -> tuple[list[str], dict[str, str]]:
    """Sentences about what is wrong, and figures by name."""
    late, lost = by_lateness(seen.of("late")), by_processor(seen.host, seen.of("idle"))
    figures = {
        "the machine woke late": f"{late.total_s:.1f} s in all, {late.worst_s:.3f} s at once",
        "the machine wanted to run and did not": f"{lost.total_s:.1f} s in all, {lost.worst_s:.3f} s of a quarter of a second",
    }
    lost = lost if seen.host else late
    wrong: list[str] = []
    for check in (events, scrapes, metrics, ledger, modes, agent):
        found, more = check(seen, lost)
        wrong += found
        figures |= more
    return wrong, figures


Found = tuple[list[str], dict[str, str]]


def first_kills(seen: Seen) -> dict[str, float]:
    """CLOCK_MONOTONIC by container id: the last look before the kernel's counter rose for the first time, so not after it did."""
    found: dict[str, float] = {}
    for container_id, before_s, _, oom_kill, _ in seen.of("kill"):
        if oom_kill:
            found.setdefault(container_id, before_s)
    for instance in seen.instances:  # a group kill whose cgroup was gone before the next look
        if instance.container_id not in found and instance.events.get("oom_kill") and instance.ended_s is not None:
            found[instance.container_id] = instance.ended_s
    return found


def events(seen: Seen, lost: Lost) -> Found:
    """Each honest pod's first kill has its Event in time, of the right reason, and no Event is of anything that was not."""
    of_pods = [
        (at_s, event) for at_s, event in seen.events if event["regarding"].get("namespace", "").startswith("honest")
    ]
    wrong, took, raw = [], [], []
    unseen = [container_id for container_id, killed_s in first_kills(seen).items() if not killed_s]
    for container_id, killed_s in first_kills(seen).items():
        if not killed_s:  # a starved lab noted the start after the kill
            continue
        pod = next(i.pod for i in seen.instances if i.container_id == container_id)
        reason = REASON[pod.labels[MODE]]
        at = [at_s for at_s, event in of_pods if event["regarding"]["uid"] == pod.uid and event["reason"] == reason]
        if not at:
            wrong.append(f"no {reason} of {pod.name}")
            continue
        raw.append(at[0] - killed_s)
        took.append(at[0] - killed_s - lost.within_s(killed_s, at[0]))
        if took[-1] > EVENT_S:
            wrong.append(
                f"{reason} of {pod.name} came {raw[-1]:.2f} s after the kill, {took[-1]:.2f} s without what the machine was starved"
            )
    modes = {i.pod.uid: i.pod.labels[MODE] for i in seen.instances}
    for _, event in of_pods:
        mode = modes.get(event["regarding"]["uid"])
        if mode is None or event["reason"] not in (REASON[mode], "OOMModeApplied"):
            wrong.append(f"false: {event['reason']} of {event['regarding']['name']}: {event.get('note')}")
    figures = {"kill → Event at the API, s": str(spread(took)), "… as the clock has it": str(spread(raw))}
    return wrong, figures | {"first kills that the lab itself saw too late": str(len(unseen))}


def scrapes(seen: Seen, lost: Lost) -> Found:
    """Each is answered well and in time."""
    wrong, figures = [], {}
    of_pages: dict[str, list[float]] = {}
    raw: list[float] = []
    for path, began_s, ended_s, status, _ in seen.of("scrape"):
        raw.append(ended_s - began_s)
        took_s = raw[-1] - lost.within_s(began_s, ended_s)
        of_pages.setdefault(path, []).append(took_s)
        if status != 200 or took_s > SCRAPE_S:
            wrong.append(f"{path}: {status} after {raw[-1]:.2f} s, {took_s:.2f} s without what the machine was starved")
    for path, values in of_pages.items():
        figures[f"scrape of {path}, s"] = str(spread(values))
    return wrong, figures | {"… all pages, as the clock has it": str(spread(raw))}


def metrics(seen: Seen, lost: Lost) -> Found:
    """The page never counts a kill that the kernel did not, has each in time, and all of them at the limit of their container."""
    wrong: list[str] = []
    pods = {i.pod.name: i for i in seen.instances}
    ids = {i.container_id: i.pod.name for i in seen.instances}
    counted: dict[str, list[tuple[float, float, int, int]]] = {}
    for container_id, before_s, at_s, oom_kill, groups in seen.of("kill"):
        counted.setdefault(ids[container_id], []).append((before_s, at_s, oom_kill - groups, oom_kill))
    for path, began_s, ended_s, status, page in seen.of("scrape"):
        if path != "/metrics" or status != 200:
            continue
        for key, count in page.items():
            pod, scope = key.split(" ")
            most = max([most for before_s, _, _, most in counted.get(pod, []) if before_s <= ended_s], default=0)
            instance = pods.get(pod)
            if instance is not None and (instance.ended_s or ended_s) < ended_s:
                most = max(most, instance.events.get("oom_kill", 0))  # its cgroup may be gone before the next look
            if scope != "container" or count > most:
                wrong.append(
                    f"/metrics has {count} kills of {pod} at the limit of the {scope}, the kernel has counted {most}"
                )
        totals: Counter[str] = Counter()
        for key, count in page.items():
            totals[key.split(" ")[0]] += count
        for pod, history in counted.items():
            if seen.deleted_s.get(pod, began_s) < began_s - SERIES_S:
                continue
            old = [least for _, at_s, least, _ in history if began_s - at_s - lost.within_s(at_s, began_s) > METRIC_S]
            if old and max(old) > totals[pod]:
                wrong.append(f"/metrics lacks kills of {pod} that are {METRIC_S:g} s old")
    return wrong, {}


def ledger(seen: Seen, lost: Lost) -> Found:
    """Exactly the kernel's kills, at the container's limit, of its own processes, with the outcome that the lab knows."""
    recorded: Counter[str] = Counter()
    wrong, unknown = [], 0
    instances = {i.container_id: i for i in seen.instances}
    for kill in sorted(seen.kills, key=lambda each: (each.cgroup_inode, each.ordinal)):
        recorded[kill.container_id or ""] += kill.processes
        instance = instances.get(kill.container_id or "")
        if instance is None or kill.scope is not Scope.CONTAINER or not {v.comm for v in kill.victims} <= WORKERS:
            wrong.append(f"false: {kill}")
            continue
        group = instance.pod.labels[MODE] == "group"
        known = Outcome.DIED if group else Outcome.SURVIVED
        unknown += kill.outcome is None
        last = recorded[kill.container_id or ""] >= instance.events.get("oom_kill", 0)
        if kill.outcome is not known and not (kill.outcome is None and last and not group):  # its pod was terminating
            wrong.append(f"outcome {kill.outcome}, not {known}: {kill}")
    nameless = recorded.pop("", 0)
    wrong += disagreements(truths(seen.instances, ()), dict(recorded), nameless)
    named = sum(bool(kill.victims) for kill in seen.kills)
    figures = {
        "honest kills": f"{sum(recorded.values())} processes in {len(seen.kills)} kills, {named} with names, {unknown} of unknown outcome"
    }
    return wrong, figures


def modes(seen: Seen, lost: Lost) -> Found:
    """Mode single was in force: nobody but the lab ended such a container; mode group, too."""
    wrong = []
    for instance in seen.instances:
        mode, deleted_s = instance.pod.labels[MODE], seen.deleted_s.get(instance.pod.name)
        if mode == "single" and instance.ended_s is not None and (deleted_s is None or instance.ended_s < deleted_s):
            wrong.append(f"{instance.pod.name} ended though it is in mode single")
        if instance.events.get("oom_group_kill", 0) != (mode == "group") and instance.events.get("oom_kill"):
            wrong.append(f"{instance.pod.name} is in mode {mode}, but the kernel counted {instance.events}")
    return wrong, {"honest pods": str(len(seen.instances))}


def agent(seen: Seen, lost: Lost) -> Found:
    """Its memory is flat after the warm-up, and all else that it has is bounded."""
    samples = seen.of("agent")
    if len(samples) < 3:
        return ["the agent was hardly seen: this proves nothing"], {}
    at, rss, anonymous, descriptors, threads, watches, stored, cpu, cgroups = zip(*samples, strict=True)
    grown = growth(list(zip(at, anonymous, strict=True)), WARM_UP) / MIB
    over = [w for w, c in zip(watches, cgroups, strict=True) if w > WATCHES_PER_CGROUP * c + MORE_WATCHES]
    bounds = (
        ("anonymous memory, MiB", max(anonymous) / MIB, LIMIT_MIB),
        ("its growth after the warm-up, MiB", grown, RSS_GROWTH_MIB),
        ("descriptors", max(descriptors), DESCRIPTORS),
        ("threads", max(threads), THREADS),
        ("looks at too many inotify watches", len(over), 0),
        ("state folder, MiB", max(stored) / MIB, LEDGER_MIB),
    )
    wrong = [f"{name}: {value:.1f}, more than {bound:g}" for name, value, bound in bounds if value > bound]
    figures = {f"agent: {name}": f"{value:.1f} (bound {bound:g})" for name, value, bound in bounds}
    mib = [each / MIB for each in anonymous]
    figures["agent: resident memory with files, MiB"] = f"{max(rss) / MIB:.1f}"
    figures["agent: anonymous memory over time, MiB"] = " ".join(
        f"{mib[n * (len(mib) - 1) // 10]:.0f}" for n in range(11)
    )
    figures["agent: inotify watches at most"] = f"{max(watches)}, at {cgroups[watches.index(max(watches))]} cgroups"
    return wrong, figures | {"agent: processor": f"{100 * (cpu[-1] - cpu[0]) / (at[-1] - at[0]):.1f} %"}
