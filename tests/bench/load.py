"""Group load: the agent's requests to the API, counted on the wire, idle and while pods come and go; and of 5,000 agents.

``python -m tests.bench.load --idle 900 --churn 300 --pods 110``. On the machine itself; the API is the lab's stand-in,
which sends plain HTTP without compression, so bytes are what a real one sends at most, but for TLS.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.pods.watch import RELIST_S, WATCH_S
from tests.bench.comeback import Comeback, Outage, simulate
from tests.bench.figures import Result, Table, Verdict, leave
from tests.bench.proxy import CountingProxy
from tests.bench.rig import BOOKMARK_S, Rig
from tests.bench.trees import OBJECT_BYTES

NODES = 5000
QUIET_S = 15.0  # without a request: the requests of the start are over
OUTAGES = (Outage(0.0), Outage(10.0), Outage(60.0), Outage(300.0), Outage(60.0, forgets=True))
KIB = 1 << 10


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests and bytes on the wire in this time."""

    seconds: float
    requests: Counter[str]
    sent: int
    received: int

    def hourly(self, count: float) -> float:
        return count * 3600 / self.seconds


class Meter:
    """A rig with its agent connected to the API through a counting proxy."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        port = int(rig.api.url.rpartition(":")[2])
        self.proxy = CountingProxy(port)
        text = rig.kubeconfig.read_text()
        rig.kubeconfig.write_text(text.replace(f":{port}", f":{self.proxy.port}"))

    def until_quiet(self) -> Traffic:
        """From the agent's start until its last request for a node full of pods that have just set the label."""
        began, asked, since = time.monotonic(), -1, time.monotonic()
        while time.monotonic() - since < QUIET_S:
            if len(self.rig.api.requests) != asked:
                asked, since = len(self.rig.api.requests), time.monotonic()
            time.sleep(0.2)
        verbs = Counter(request.verb for request in self.rig.api.requests)
        return Traffic(since - began, verbs, self.proxy.sent, self.proxy.received)

    def during(self, seconds: float, *, churn: bool) -> Traffic:
        """In the next ``seconds``."""
        asked, sent, received = len(self.rig.api.requests), self.proxy.sent, self.proxy.received
        began = time.monotonic()
        if churn:
            self.rig.churn(seconds)
        else:
            time.sleep(seconds)
        verbs = Counter(request.verb for request in self.rig.api.requests[asked:])
        return Traffic(time.monotonic() - began, verbs, self.proxy.sent - sent, self.proxy.received - received)


def node_table(first: Traffic, idle: Traffic, churn: Traffic) -> Table:
    """One node's requests and bytes."""
    rows = [
        (
            f"at its start, {first.seconds:.0f} s",
            _verbs(first.requests),
            f"{first.sent / KIB:.1f}",
            f"{first.received / KIB:,.0f}",
            "",
            "",
        )
    ]
    for name, traffic in (("idle, an hour", idle), ("1 pod per second, an hour", churn)):
        hourly = Counter({verb: round(traffic.hourly(count), 1) for verb, count in traffic.requests.items()})
        sent, received = traffic.hourly(traffic.sent), traffic.hourly(traffic.received)
        rows.append(
            (
                name,
                _verbs(hourly) or "none",
                f"{sent / KIB:.1f}",
                f"{received / KIB:,.0f}",
                f"{NODES * traffic.hourly(traffic.requests.total()) / 3600:.1f}",
                f"{NODES * received / 3600 / (1 << 20):.1f}",
            )
        )
    note = (
        f"Measured for {idle.seconds:.0f} s idle and {churn.seconds:.0f} s of churn, then converted to an hour. A watch is renewed "
        f"every {WATCH_S / 60:.0f} to {2 * WATCH_S / 60:.0f} minutes, a full list comes every {RELIST_S / 120:.0f} to "
        f"{RELIST_S / 40:.0f}, a bookmark every {BOOKMARK_S:.0f} s (the server's own). Pods are {OBJECT_BYTES >> 10} KiB of JSON; the "
        "watch brings each change of each whole. Creates are Events: one for each container that asked when its mode is in force "
        "(modeAppliedEvents), and kills; per node at most 50 at once and then one per second."
    )
    columns = (
        "one node",
        "requests",
        "KiB sent",
        "KiB received",
        f"{NODES:,} nodes: requests per second",
        "MiB per second",
    )
    return Table("Requests and bytes", columns, tuple(rows), note)


def _verbs(counts: Counter[str]) -> str:
    return ", ".join(f"{count:g} {verb}" for verb, count in sorted(counts.items()) if count)


def comeback_table(found: Sequence[Comeback]) -> Table:
    """The load of all agents on an API server after an outage."""
    rows = tuple(
        (
            f"{each.outage.down_s:.0f} s" + (", every version too old (410)" if each.outage.forgets else ""),
            f"{each.peak_refused:,}",
            f"{each.peak_answered:,}",
            f"{each.peak_lists:,}" if each.peak_lists else "-",
            f"{each.answered:,}",
            f"{each.p50_back_s:.1f}",
            f"{each.p99_back_s:.1f}",
        )
        for each in found
    )
    note = (
        "The agent's own pod watch and back-off with a clock of their own; all connections are cut within 50 ms. Attempts while it "
        "is away are refused connections. The maximum per second, and when the agents watch again (s after the server was there)."
    )
    columns = (
        "outage",
        "attempts during it",
        "answered",
        "of them lists",
        "answered in total",
        "p50 back",
        "p99 back",
    )
    return Table(f"{NODES:,} agents after an API server's restart, by simulation", columns, rows, note)


def result(pods: int, first: Traffic, idle: Traffic, churn: Traffic, back: Sequence[Comeback]) -> Result:
    """The tables, and the verdict on the goal."""
    others = {verb: count for verb, count in idle.requests.items() if verb not in ("watch", "list")}
    lists, most_lists = idle.requests["list"], 1 + idle.seconds // (RELIST_S / 2)
    starts = (first.requests["list"], first.requests["watch"]) == (1, 1)
    measured = (
        f"at the start {_verbs(first.requests)}; idle for {idle.seconds:.0f} s: {_verbs(idle.requests) or 'none'} "
        f"(a watch renewed, a list as the safety net)"
    )
    met = starts and not others and lists <= most_lists
    return Result(
        "load",
        "native",
        "native",
        {"pods": pods, "idle (s)": round(idle.seconds), "churn (s)": round(churn.seconds), "nodes": NODES},
        (node_table(first, idle, churn), comeback_table(back)),
        (Verdict("one-watch", measured, met),),
        {
            "idle_requests_an_hour": idle.hourly(idle.requests.total()),
            "idle_received_an_hour": idle.hourly(idle.received),
            "churn_requests_an_hour": churn.hourly(churn.requests.total()),
            "churn_received_an_hour": churn.hourly(churn.received),
        },
    )


def main() -> None:
    """Measure on this machine."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--pods", type=int, required=True)
    top.add_argument("--idle", type=float, required=True)
    top.add_argument("--churn", type=float, required=True)
    asked = top.parse_args()
    rig = Rig(asked.pods, native=True)
    meter = Meter(rig)
    try:
        agent, _ = rig.start()
        first = meter.until_quiet()
        idle = meter.during(asked.idle, churn=False)
        churn = meter.during(asked.churn, churn=True)
        agent.stop()
    finally:
        meter.proxy.close()
        rig.close()
    back = [simulate(outage, NODES) for outage in OUTAGES]
    leave(result(asked.pods, first, idle, churn, back), Path(os.environ["OOMWARD_LAB_OUT"]))


if __name__ == "__main__":
    main()
