"""``python -m tests.demo``: boots the kernel, shows what happens there, judges it, and says where the result is as JSON."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.lab import boot, runtime

RESULT = boot.REPO / "build" / "demo" / "result.json"
LEAST_SECONDS = 15.0
Json = dict[str, Any]


class Screen:
    """A live table on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.result: Json | None = None
        self.problems: list[str] = []

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def take(self, line: bytes) -> None:
        """One line from inside: a message for us, or something that went wrong there, which is shown as it is."""
        try:
            message = json.loads(line)
            what = message["what"]
        except (ValueError, TypeError, KeyError):
            self._console.print(line.decode(errors="replace").rstrip(), markup=False, highlight=False)
            return
        if what == "say":
            self._console.print(message["text"], highlight=False)
        elif what == "state":
            self._state(message)
        elif what == "result":
            self.result = message

    def _state(self, message: Json) -> None:
        if self._live is not None:
            self._live.update(table(message["rows"], f"after {message['elapsed_s']} s"), refresh=True)
        elif message["elapsed_s"] % 5 == 0:
            texts = [f"{r['pod']}: restarts {r['restarts']}, processes killed {r['killed']}" for r in message["rows"]]
            self._console.print(f"{message['elapsed_s']:>3} s  " + "; ".join(texts), highlight=False)


def table(rows: list[Json], title: str) -> Table:
    """The pods, a row each."""
    found = Table(title=title, title_justify="left")
    for column, justify in (("pod", "left"), ("asked by", "left"), ("mode in force", "left"), ("PID 1's age", "right"),
                            ("restarts", "right"), ("processes killed", "right"), ("last victim", "left")):  # fmt: skip
        found.add_column(column, justify=justify, no_wrap=column == "pod")  # type: ignore[arg-type]
    for row in rows:
        age = "down" if row["pid1_age_s"] is None else f"{row['pid1_age_s']:.0f} s"
        found.add_row(
            row["pod"], row["asked"], row["mode"], age, str(row["restarts"]), str(row["killed"]), row["last_victim"]
        )
    return found


def judge(result: Json) -> list[str]:
    """What is not as it should be; empty: the demo has shown what it promises."""
    wrong = []
    for row in result["rows"]:
        if row["asked"] == "-":
            if row["restarts"] < 1:
                wrong.append(f"{row['pod']} did not ask and was not restarted")
        elif row["restarts"] or not row["killed"]:
            wrong.append(
                f"{row['pod']} asked for single: restarts {row['restarts']} (not 0), killed {row['killed']} (at least 1)"
            )
    least, most = result["kernel_count"]
    if not least <= result["metrics_count"] <= most:
        wrong.append(f"the kernel counted {least} to {most} killed processes, the metrics {result['metrics_count']}")
    if result["unattributed"]:
        wrong.append(f"{result['unattributed']} kills could not be attributed")
    return wrong


def show(console: Console, result: Json, seconds: float) -> None:
    """The summary: what happened, the Events as kubectl would show them, the metrics."""
    console.print(table(result["rows"], f"After {seconds:.0f} s"))
    for row in result["rows"]:
        if row["asked"] == "-":
            text = f"{row['pod']} did not ask: every OOM kill took the whole container, it was restarted {row['restarts']} times"
        else:
            text = f"{row['pod']} asked by {row['asked']}: {row['killed']} processes killed, 0 restarts, PID 1 is the first one still"
        console.print(f"  {text}", highlight=False)
    for row in result["rows"]:
        console.print(f"\nkubectl describe pod {row['pod']}", style="bold", highlight=False)
        mine = sorted((e for e in result["events"] if e["pod"] == row["pod"]), key=lambda e: e["time"])
        events = Table(box=None, pad_edge=False)
        for column in ("Type", "Reason", "Since", "Message"):
            events.add_column(column, no_wrap=column != "Message")
        for event in mine[:4]:
            clock = datetime.fromisoformat(event["time"]).strftime("%H:%M:%S")
            times = f" (x{event['count']})" if event["count"] > 1 else ""
            events.add_row(event["type"], event["reason"], clock + times, event["message"])
        console.print(events)
        if len(mine) > 4:
            console.print(f"  … and {len(mine) - 4} more", highlight=False)
    console.print("\ncurl …:9797/metrics", style="bold", highlight=False)
    for line in result["metrics"]:
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    least, most = result["kernel_count"]
    kernel = (
        str(most) if least == most else f"{least} to {most} (the first of a group kill may be in its counter twice)"
    )
    console.print(
        f"\nKilled processes in pods: {kernel} by the kernel's counter, {result['metrics_count']} by the metrics."
    )


def main() -> int:
    """Exit status 0 only if what the demo promises has happened."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    seconds = float(os.environ.get("DEMO_SECONDS", "60"))
    if seconds < LEAST_SECONDS:
        console.print(f"DEMO_SECONDS={seconds:.0f} is too short to see anything: at least {LEAST_SECONDS:.0f}")
        return 2
    runtime.build_hog()
    console.print("booting a real kernel: containers by runc and crun, no cluster needed")
    with Screen(console) as screen:
        command = [sys.executable, "-m", "tests.demo.inside"]
        code = boot.run(command, out=boot.REPO / "build" / "lab" / "demo", timeout_s=seconds + 180, sink=screen.take)
    if screen.result is None:
        console.print(f"the demo broke off (exit {code})")
        return 1
    wrong = judge(screen.result) + ([f"the node ended with {code}"] if code else [])
    show(console, screen.result, seconds)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({**screen.result, "ok": not wrong, "wrong": wrong}, indent=2) + "\n")
    for problem in wrong:
        console.print(f"NOT AS PROMISED: {problem}", style="bold red")
    if not wrong:
        console.print("As promised.", style="green")
    print(f"The result as JSON: {RESULT.relative_to(Path.cwd()) if RESULT.is_relative_to(Path.cwd()) else RESULT}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
