"""What a program has of what must not grow: memory, descriptors, watches, its files. Read from outside, judged by pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median

from tests.bench.processes import usage
from tests.soak.figures import growth
from tests.soak.probe import anonymous_bytes, watches

MIB = 1 << 20
WARM_UP, WARM_UP_S = 0.4, 180.0  # of a program's life, and at least: all kinds of objects and of trouble have come once
JUDGED = 0.75  # a warm-up that is longer leaves too little of a life: growth is not judged then, and said so
FEWEST = 30  # looks
MOST_MIB = 128.0  # the memory limit of the agent; that of recover is 256 MiB
MEMORY_MIB, DESCRIPTORS, WATCHES = 8.0, 8, 60  # growth after the warm-up that is allowed
STORED_MIB, KILL_BYTES = 16.0, 5 << 10  # of the folder at most, and for each kill in it: 3.3 KiB, measured


@dataclass(frozen=True, slots=True)
class Size:
    """``stored``: bytes of its folder, 0 if it has none."""

    program: str
    pid: int
    at_s: float
    anonymous: int
    descriptors: int
    threads: int
    watches: int
    stored: int


def size_of(program: str, pid: int, folder: Path | None) -> Size:
    """Now. Raises OSError when it has ended."""
    seen = usage(pid)
    files = [] if folder is None else [file for file in folder.iterdir() if file.name != BALLAST]
    stored = sum(file.stat().st_size for file in files if file.is_file())
    return Size(program, pid, seen.at_s, anonymous_bytes(pid), seen.descriptors, seen.threads, watches(pid), stored)


BALLAST = "ballast"  # what fills the disk is not the agent's


def grown(sizes: Sequence[Size]) -> tuple[list[str], dict[str, str]]:
    """Of one process: what grew after its warm-up, and figures. Too few looks prove nothing, and are a finding."""
    program = sizes[0].program if sizes else "?"
    if len(sizes) < FEWEST:
        return [f"{program}: only {len(sizes)} looks: this proves nothing"], {}
    measures = (
        ("anonymous memory, MiB", MEMORY_MIB, [(s.at_s, s.anonymous / MIB) for s in sizes]),
        ("descriptors", DESCRIPTORS, [(s.at_s, float(s.descriptors)) for s in sizes]),
        ("inotify watches", WATCHES, [(s.at_s, float(s.watches)) for s in sizes]),
        ("files, MiB", inf, [(s.at_s, s.stored / MIB) for s in sizes]),
    )
    lived_s = sizes[-1].at_s - sizes[0].at_s
    warm_up = max(WARM_UP, WARM_UP_S / lived_s)
    wrong, figures = [], {}
    if (most := max(s.anonymous for s in sizes) / MIB) > MOST_MIB:
        wrong.append(f"{program}: {most:.1f} MiB of anonymous memory, more than {MOST_MIB:g}")
    for name, bound, points in measures:
        by = growth(points, warm_up) if warm_up < JUDGED else 0.0
        values = [value for _, value in points]
        figures[f"{program}: {name}"] = (
            f"{values[0]:.1f} at first, {median(values):.1f} in the middle, {values[-1]:.1f} at last, {max(values):.1f} at most"
        )
        if by > bound:
            wrong.append(f"{program}: {name} grew by {by:.1f} after the warm-up, more than {bound:g}")
    figures[f"{program}: growth is judged"] = f"{'yes' if warm_up < JUDGED else 'no'}: it lived for {lived_s:.0f} s"
    return wrong, figures


def stored_too_much(size: Size, kills: int) -> list[str]:
    """A ledger grows by what it has to keep only. ``kills``: rows in it."""
    most = STORED_MIB + kills * KILL_BYTES / MIB
    return [f"{size.stored / MIB:.1f} MiB of files for {kills} kills"] if size.stored / MIB > most else []
