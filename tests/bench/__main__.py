"""``python -m tests.bench [--group …]`` measures; ``python -m tests.bench --page`` writes docs/benchmarks.md from the last results."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.bench.figures import Result, host, result_of, results_in
from tests.bench.goals import KEYS
from tests.bench.groups import GROUPS, Part, parts
from tests.bench.page import on_screen, page
from tests.bench.picture import pictures
from tests.lab import boot, runtime, systemd, uml

RESULTS = boot.REPO / "build" / "bench"
KEPT = boot.REPO / "docs" / "benchmarks"
PAGE = boot.REPO / "docs" / "benchmarks.md"
REMARKS = KEPT / "remarks.md"


class FailedError(RuntimeError):
    """A part failed, or left no result."""


def run(part: Part) -> Path:
    """One part; its result as JSON, with the machine in it. Raises FailedError."""
    machine = host()
    command = [sys.executable, "-m", f"tests.bench.{part.arguments[0]}", *part.arguments[1:]]
    with tempfile.TemporaryDirectory(prefix="oomward-bench-") as folder:
        out = Path(folder)
        if part.lab:
            runtime.build_hog()
            booted = systemd.run if part.systemd else boot.run
            code = booted(command, memory=part.memory, timeout_s=part.seconds, out=out)
        else:
            environment = os.environ | {"OOMWARD_LAB_OUT": folder}
            code = subprocess.run(command, cwd=boot.REPO, env=environment, check=False, timeout=part.seconds).returncode
        left = out / f"{part.group}-{part.name}.json"
        if code or not left.exists():
            raise FailedError(f"{part.group}, {part.name}: ended with {code}; its output is above")
        found = json.loads(left.read_text())
    found["machine"] = machine | found["machine"]
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept = RESULTS / left.name
    kept.write_text(json.dumps(found, indent=1) + "\n")
    return kept


def measure(groups: Sequence[str]) -> int:
    """All parts of these groups; returns the exit status. If a part fails, the others still run."""
    console, failed = Console(highlight=False, width=None if sys.stdout.isatty() else 150), []
    for part in (part for part in parts() if part.group in groups):
        console.print(f"{part.group}, {part.name}: {' '.join(part.arguments)}", style="bold")
        try:
            result = result_of(json.loads(run(part).read_text()))
        except (FailedError, subprocess.TimeoutExpired, uml.NoKernelError) as error:
            failed.append(str(error))
            console.print(str(error), style="bold red")
            continue
        for table in result.tables:
            console.print(on_screen(table))
        for verdict in result.verdicts:
            console.print(f"  {'met    ' if verdict.met else 'NOT MET'} {KEYS[verdict.goal].text}: {verdict.measured}")
    console.print(f"The figures: {RESULTS.relative_to(boot.REPO)}/. Into docs/benchmarks.md: make bench-page")
    return 1 if failed else 0


def write_page() -> int:
    """Copy the last results into docs/benchmarks/ and write the page from all results there."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for path in RESULTS.glob("*.json"):
        shutil.copyfile(path, KEPT / path.name)
    for name, text in pictures(table for result in ordered() for table in result.tables).items():
        (KEPT / name).write_text(text)
    PAGE.write_text(page(ordered(), REMARKS.read_text()))
    print(f"{PAGE.relative_to(boot.REPO)} written from {len(results_in(KEPT))} results")
    return 0


def ordered() -> list[Result]:
    """The kept results in the page's order."""
    order = [(part.group, part.name) for part in parts()]
    return sorted(results_in(KEPT), key=lambda result: order.index((result.group, result.part)))


def main() -> int:
    """Measure, or make the page."""
    top = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    top.add_argument("--group", choices=GROUPS, action="append", help="only this group (may be repeated; default: all)")
    top.add_argument(
        "--page", action="store_true", help="measure nothing; write docs/benchmarks.md from the last results"
    )
    asked = top.parse_args()
    return write_page() if asked.page else measure(asked.group or GROUPS)


if __name__ == "__main__":
    sys.exit(main())
