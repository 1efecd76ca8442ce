"""The result of a measurement: tables for people, numbers for programs, and verdicts on the goals; one JSON file per part."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as shown. ``note`` explains them."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A measured value against one of the goals (goals.py)."""

    goal: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Result:
    """One part of a group. ``where`` is ``lab`` (a lab kernel) or ``native``; ``sizes`` are the requested amounts."""

    group: str
    part: str
    where: str
    sizes: dict[str, Cell]
    tables: tuple[Table, ...]
    verdicts: tuple[Verdict, ...] = ()
    numbers: dict[str, float] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    at: str = ""


def leave(result: Result, folder: Path) -> Path:
    """Write a result as JSON, with the kernel and the time; returns where."""
    found = asdict(result) | {
        "machine": result.machine | {"kernel": f"Linux {platform.release()}", "python": platform.python_version()},
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.group}-{result.part}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    return path


def result_of(found: dict[str, Any]) -> Result:
    """The record of a file's JSON."""
    tables = tuple(
        Table(t["title"], tuple(t["columns"]), tuple(tuple(row) for row in t["rows"]), t["note"])
        for t in found["tables"]
    )
    return Result(**found | {"tables": tables, "verdicts": tuple(Verdict(**v) for v in found["verdicts"])})


def results_in(folder: Path) -> list[Result]:
    """All results of a folder, by group and part."""
    return [result_of(json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]


def host() -> dict[str, str]:
    """The host machine, which a lab kernel does not see."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    total_kb = int(Path("/proc/meminfo").read_text().split()[1])
    load = os.getloadavg()[1]
    return {
        "processor": f"{len(models) or os.cpu_count()} x {models[0] if models else platform.machine()}",
        "memory": f"{total_kb / (1 << 20):.0f} GiB",
        "host kernel": f"Linux {platform.release()}",
        "load": f"{load:.1f}",
    }


# ------------------------------------------------------------------------------------------------------ small statistics


def quantile(values: Iterable[float], share: float) -> float:
    """The value that ``share`` of them don't exceed (nearest rank); NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """p50, p99 and the largest."""
    return quantile(values, 0.5), quantile(values, 0.99), max(values, default=math.nan)


def ms(seconds: float) -> str:
    """Seconds as milliseconds with three digits that mean something; a dash for none."""
    if math.isnan(seconds):
        return "-"
    value = seconds * 1000
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def share(part: int, whole: int) -> str:
    """``125 of 125 (100 %)``; not rounded up to 100."""
    if not whole:
        return "none"
    percent = 100 * part / whole
    shown = "100" if part == whole else f"{min(percent, 99.9):.1f}"
    return f"{part:,} of {whole:,} ({shown} %)"
