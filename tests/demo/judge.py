"""The demo's verdict: passed or failed, and why."""

from __future__ import annotations

from collections.abc import Iterable

from tests.demo.facts import Json, Result, Row, percent
from tests.demo.pods import ANNOTATED, LABELLED, NAMES, PLAIN

REASONS = {
    PLAIN: ("ContainerOOMKilled",),
    LABELLED: ("OOMModeApplied", "ProcessOOMKilled"),
    ANNOTATED: ("OOMModeApplied", "ProcessOOMKilled"),
}


def failures(result: Result) -> list[str]:
    """Each failure as a sentence; empty: the demo has passed."""
    found = [problem for row in result.rows for problem in (_plain(row) if row.pod == PLAIN else _asking(row))]
    if not result.kernel - result.kernel_group <= result.counted <= result.kernel:
        found.append(
            f"the kernel counted {result.kernel} killed processes, of which {result.kernel_group} may be counted twice, "
            f"and oomward's metrics {result.counted}"
        )
    if result.unattributed:
        found.append(f"oomward did not find the containers of {result.unattributed} killed processes")
    return found + missing_events(result.events)


def _plain(row: Row) -> list[str]:
    found = []
    if row.mode != "group":
        found.append(f"{row.pod} has the OOM mode {row.mode}, not group")
    if row.survived or not row.kills:
        found.append(f"{row.pod} survived {row.survived} of {row.kills} OOM kills, not 0 of at least 1")
    if not row.restarts:
        found.append(f"{row.pod} was not restarted")
    return found


def _asking(row: Row) -> list[str]:
    found = []
    if row.mode != "single":
        found.append(f"{row.pod} has the OOM mode {row.mode}, not single")
    if row.survived < row.kills or not row.kills:
        found.append(f"{row.pod} survived {row.survived} of {row.kills} OOM kills, not all of at least 1")
    if row.restarts or row.up < 1:
        found.append(
            f"{row.pod} was up {percent(row.up)} of the time and restarted {row.restarts} times, not 100 % and 0"
        )
    return found


def missing_events(events: Iterable[Json]) -> list[str]:
    """Expected Kubernetes Events that are missing."""
    there = {(event["regarding"]["name"], event["reason"]) for event in events}
    return [f"{pod} has no Event {reason}" for pod in NAMES for reason in REASONS[pod] if (pod, reason) not in there]


def proved(result: Result) -> str:
    """The conclusion from a result without failures, in a sentence."""
    plain, asking = result.row(PLAIN), [result.row(LABELLED), result.row(ANNOTATED)]
    restarts = "1 restart" if plain.restarts == 1 else f"{plain.restarts} restarts"
    return (
        f"without the label each of the {plain.kills} OOM kills took the whole container ({restarts}); with label or annotation "
        f"only the process that the kernel picked died ({sum(row.kills for row in asking)} kills, 0 restarts), and oomward "
        f"counted every kill."
    )
