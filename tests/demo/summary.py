"""The demo's texts and tables, each fitted to the console's width."""

from __future__ import annotations

import re
from datetime import datetime
from math import ceil

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tests.demo import kubectl
from tests.demo.facts import Result, Row, percent
from tests.demo.judge import proved
from tests.demo.pods import ANNOTATED, LABELLED, LIMIT_MIB, PLAIN

WIDEST_PROSE = 100
GOOD, BAD, QUIET = "green", "red", "dim"
TERMS = {
    "STATUS": "as `kubectl get pods` shows it. CrashLoopBackOff: the container died several times, so Kubernetes waits "
    "before each restart, longer each time.",
    "UP": "the share of the time in which the container ran.",
    "SURVIVED": "how many of its OOM kills the container survived. A pod that is up all the time has more of them than one that is mostly "
    "down.",
    "MODE": "the OOM mode in force: the kernel's setting memory.oom.group of the container, 1 for group and 0 for single.",
}


def prose(console: Console, text: str, style: str = "") -> None:
    """A paragraph, in lines that are not too long to read."""
    console.print(Text(text, style), width=min(console.width, WIDEST_PROSE))


def listed(console: Console, found: dict[str, str], style: str = "bold") -> None:
    """Names and texts, as two columns."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style=style)
    grid.add_column(overflow="fold")
    for name, text in found.items():
        grid.add_row(name, Text(text))
    console.print(Padding(grid, (0, 0, 0, 2)), width=min(console.width, WIDEST_PROSE))


def introduction(console: Console) -> None:
    """What the demo shows, in two sentences."""
    prose(
        console,
        f"Three pods run the same program on a real Linux kernel: a server whose workers want more memory than the container's limit of "
        f"{LIMIT_MIB} MiB, so that the kernel's out-of-memory (OOM) killer has to kill something, again and again. Without oomward "
        "each OOM kill takes down the whole container; in the pods that ask oomward for it, only the worker.",
    )


def table(rows: tuple[Row, ...], title: str) -> Table:
    """The pods, in the look of kubectl's tables."""
    found = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("POD", "STATUS", "UP", "RESTARTS", "OOM KILLS\nSURVIVED", "OOM\nMODE"):
        found.add_column(
            column, overflow="fold", justify="right" if column in ("UP", "RESTARTS") else "left", vertical="top"
        )
    for row in rows:
        found.add_row(
            row.pod,
            Text(status(row), GOOD if row.status == "Running" else BAD),
            Text(percent(row.up), GOOD if row.up == 1 else BAD),
            Text(str(row.restarts), BAD if row.restarts else GOOD),
            Text(f"{row.survived} of {row.kills}", GOOD if row.survived == row.kills else BAD),
            row.mode,
        )
    return found


def status(row: Row) -> str:
    """STATUS, and the time until the next start."""
    if row.next_try_s is None:
        return row.status
    return (
        f"{row.status},\nnext try in {ceil(row.next_try_s)} s" if row.next_try_s > 0 else f"{row.status},\nnext try now"
    )


def short(rows: tuple[Row, ...]) -> str:
    """The pods in one line, for output that cannot be updated."""
    return "Restarts: " + ", ".join(f"{row.pod} {row.restarts}" for row in rows)


def events(console: Console, result: Result, pod: str) -> None:
    """The Events of a pod as kubectl shows them."""
    console.print(Text(f"$ kubectl describe pod {pod}", "bold"))
    for line in kubectl.wrapped(
        kubectl.events_section(result.events_of(pod), datetime.fromisoformat(result.at)), console.width
    ):
        console.print(Text(line), no_wrap=True, overflow="ignore", crop=False)


def sample(line: str, width: int) -> list[str]:
    """A line of a metrics page at ``width`` columns: a line that is too long continues after a comma, indented."""
    found = [""]
    for part in re.split(r"(?<=,)", line):
        if len(found[-1] + part) > width:
            found.append("    ")
        found[-1] += part
    return found


def counts(result: Result) -> str:
    """The killed processes by the kernel and by oomward."""
    twice = result.kernel - result.counted
    text = f"Killed processes: {result.counted} by oomward's metric oomward_oom_kills_total, {result.kernel} by the kernel's own counter"
    explained = f", which counts the first process of a whole-container kill twice ({twice} here)"
    return f"{text}{explained if 0 < twice <= result.kernel_group else ''}."


def summary(console: Console, result: Result) -> None:
    """The table, the Events and the metrics."""
    console.print(table(result.rows, f"After {result.seconds:.0f} s"))
    console.print()
    listed(console, TERMS)
    console.print()
    prose(
        console,
        "oomward also reports every OOM kill, also in pods that request no mode: as an Event on the pod, in its log, and in its metrics. "
        "These are the Events (kubectl prints each in one long line):",
    )
    for pod in (PLAIN, LABELLED):
        console.print()
        events(console, result, pod)
    console.print()
    prose(
        console,
        f"{ANNOTATED} has the same Events as {LABELLED}. (x2 over 9s) means twice in 9 s: a similar OOM kill only increases the "
        "count of that Event. To spare the API server, oomward sends the new count after 10 s, then after 20 s, 40 s and so on, "
        "so the count can be late. The metrics never are:",
    )
    console.print()
    for line in result.metrics:
        console.print(Text("\n".join(sample(line, console.width))))
    console.print()
    prose(console, counts(result))


def verdict(console: Console, result: Result, failures: list[str]) -> None:
    """PASS and the conclusion, or FAIL and each failure."""
    for failure in failures:
        console.print(Text.assemble(("FAIL", "bold red"), f": {failure}"), width=console.width)
    if not failures:
        console.print(Text.assemble(("PASS", "bold green"), f": {proved(result)}"), width=console.width)
