"""Does every panel of the dashboard show something? Asked of a real Prometheus that scrapes an agent.

``python -m tests.monitoring.panels URL`` with the URL of a running agent's /metrics, or ``--made-up`` for a page that is made up
here. Panels about kills need kills: let them happen between the first scrapes and the questions, with ``--wait`` or by
``with Prometheus(url) as prometheus`` and ``ask(prometheus)``. Panels that need other exporters are named and not judged.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from agent.metrics.http import StatusServer
from agent.metrics.metrics import EVENT_OUTCOMES, WATCH_REASONS, Metrics
from agent.model import MemoryUse, Mode, OomKill, Outcome, Scope, WriteOutcome
from tests.monitoring.dashboard import Query, fill, queries, variables
from tests.monitoring.prometheus import Prometheus, PrometheusError


@dataclass(frozen=True, slots=True)
class Answer:
    """What Prometheus said to a panel's query: how many series with a number."""

    query: Query
    series: int

    @property
    def word(self) -> str:
        if self.query.needs_others:
            return "needs other exporters"
        return "ok" if self.series else "NO DATA"

    @property
    def bad(self) -> bool:
        return not self.series and not self.query.needs_others


def ask(prometheus: Prometheus, **chosen: str) -> list[Answer]:
    """Run every query of every panel, with these values of variables. NaN is no data."""
    return [Answer(query, _numbers(prometheus.query(query.filled(**chosen)))) for query in queries()]


def _numbers(samples: list[dict[str, Any]]) -> int:
    return sum(not math.isnan(float(sample["value"][1])) for sample in samples)


def report(answers: list[Answer]) -> str:
    """A line a query, and the verdict."""
    lines = [f"{a.word:22} {a.series:4} series  {a.query.panel}" for a in answers]
    bad = [a for a in answers if a.bad]
    others = len({a.query.panel for a in answers if a.query.needs_others})
    lines += [f"no data for panel {a.query.panel!r}: {a.query.filled()}" for a in bad]
    total = len({a.query.panel for a in answers})
    lines.append(
        f"{total} panels, {len(answers)} queries: {len(bad)} without data; {others} panels need other exporters."
    )
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------- a made-up page


@contextmanager
def made_up() -> Iterator[tuple[str, Callable[[], None]]]:
    """An agent's page without an agent: its URL, and a function that lets something of everything happen."""
    metrics = Metrics("0.0.0")
    for pod, mode in (("herder-0", Mode.SINGLE), ("plain-7d5bcf9f8d-x2x4k", Mode.GROUP)):
        metrics.container_running("shop", pod, "main", mode)
        metrics.oom_group("shop", pod, "main", mode.oom_group, mode.oom_group if mode is Mode.SINGLE else None)
        metrics.under_pressure("shop", pod, "main", seconds=12.5, lasts=mode is Mode.SINGLE)
    metrics.config_loaded(time.time())
    metrics.ledger_persistent.set(True)
    metrics.kmsg_readable.set(True)
    metrics.inotify_watches.set(42)
    metrics.events_pending.set(0)
    server = StatusServer(("127.0.0.1", 0), metrics.page, lambda: (True, "made up"), lambda: (True, "made up"))
    server.start()
    host, port = server.server_name, server.server_port
    try:
        yield f"http://{host}:{port}/metrics", lambda: _happen(metrics)
    finally:
        server.close()


def _happen(metrics: Metrics) -> None:
    single = OomKill(
        boot_id="made-up", cgroup_inode=1, ordinal=1, at_unix_s=time.time(), node="lab-node", cgroup_path="kubepods/pod1/c1", processes=1,
        namespace="shop",
        pod="herder-0", container="main", mode=Mode.SINGLE, scope=Scope.CONTAINER, outcome=Outcome.SURVIVED,
        use=MemoryUse(anon=241 << 20, file=9 << 20, dirty=1 << 20, shmem=0, kernel=6 << 20, slab_reclaimable=1 << 20, sock=0, swap=0),
    )  # fmt: skip
    died = replace(single, pod="plain-7d5bcf9f8d-x2x4k", mode=Mode.GROUP, processes=3, outcome=Outcome.DIED)
    for kill in (single, died):
        metrics.kill(kill)
        metrics.outcome(kill)
    metrics.host_oom_kills.inc(single.processes)
    metrics.oom_group_writes.labels(WriteOutcome.WRITTEN).inc()
    metrics.oom_group_write_duration_seconds.observe(0.0004)
    metrics.events.labels(EVENT_OUTCOMES[0]).inc()
    metrics.pod_watch_restarts.labels(WATCH_REASONS[0]).inc()


def check_made_up(cluster: str | None = None) -> list[Answer]:
    """Every panel, asked of a Prometheus that scrapes a made-up page; with the label ``cluster``, and that chosen, or without one."""
    labels = {} if cluster is None else {"cluster": cluster}
    with made_up() as (url, happen), Prometheus(url, labels=labels) as prometheus:
        prometheus.wait_scraped()
        happen()
        prometheus.wait_scraped()
        answers = ask(prometheus, **labels)
        missing = _variables_without_values(prometheus) - ({"cluster"} if cluster is None else set())
    if missing:
        raise PrometheusError(f"no values to choose from for {', '.join(sorted(missing))}")
    return answers


def _variables_without_values(prometheus: Prometheus) -> set[str]:
    """Names of variables for which the page has no value."""
    found = set()
    for name, variable in variables().items():
        if variable["type"] == "query":
            metric, label = fill(variable["definition"])[len("label_values(") : -1].rsplit(", ", 1)
            if not prometheus.label_values(metric, label):
                found.add(name)
    return found


def main() -> int:
    """Ask, print, and return 1 if a panel shows nothing."""
    top = argparse.ArgumentParser(prog="python -m tests.monitoring.panels", description=__doc__)
    top.add_argument("url", nargs="?", help="a running agent's page, such as http://127.0.0.1:9797/metrics")
    top.add_argument("--made-up", action="store_true", help="scrape a made-up page instead")
    top.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="scrape for so long before asking")
    arguments = top.parse_args()
    if bool(arguments.url) is arguments.made_up:
        top.error("give either the URL of an agent's page or --made-up")
    try:
        if arguments.made_up:
            answers = check_made_up() + check_made_up("a")
        else:
            with Prometheus(arguments.url) as prometheus:
                prometheus.wait_scraped()
                time.sleep(arguments.wait)
                answers = ask(prometheus)
    except PrometheusError as error:
        print(error, file=sys.stderr)
        return 1
    print(report(answers))
    return 1 if any(answer.bad for answer in answers) else 0


if __name__ == "__main__":
    sys.exit(main())
