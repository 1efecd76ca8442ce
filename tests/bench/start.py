"""Group start: containers with desired mode single, started as fast as the lab can, with the agent and with each other tool.

Runs inside of the lab: ``python -m tests.bench.start --driver cgroupfs --containers 125``. The container
itself records the value at its first instruction; the observer records the writes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contestants import AGENT, WRITERS, start_writer
from tests.bench.figures import Result, Table, Verdict, leave, ms, share, spread
from tests.bench.observer import Noted, Observer
from tests.kernel.conftest import MODE, RUNTIMES, Node, make_node
from tests.lab.kubelet import MOUNT
from tests.lab.runtime import first_look
from tests.lab.spec import Container, Instance, Pod

OF_RUNC = 0.24  # runc takes the lab five times as long
A_POD = 8  # containers
OURS = "0"  # in memory.oom.group, for the mode single
AT_ONCE = 4  # pods started side by side, as a kubelet does
PATIENCE_S = 65.0  # after the last start: a round of the slowest tool, and a little


@dataclass(frozen=True, slots=True)
class Start:
    """One container's start. Times in seconds from the runtime's write on; ``ours_s`` None: the tool did not write after it."""

    runtime: str
    right_at_first: bool
    ours_s: float | None
    first_s: float


def pods(containers: int) -> Iterator[Pod]:
    """All have the desired mode single; every other has a limit."""
    of_runc = round(containers * OF_RUNC)
    for runtime, count in zip(RUNTIMES, (of_runc, containers - of_runc), strict=True):
        for number, first in enumerate(range(0, count, A_POD)):
            some = range(min(A_POD, count - first))
            asking = tuple(Container(f"c{i}", ("pause",), 16 if i % 2 else None) for i in some)
            yield Pod(f"asks-{runtime}-{number}", asking, labels={MODE: "single"}, runtime=runtime)


def start_of(instance: Instance, first: tuple[str, int], noted: list[Noted], pid: int) -> Start:
    """One start from the records; the runtime's write is the last that is neither the tool's nor the stand-in kubelet's.

    A tool that inotify(7) wakes can write before the runtime's write(2) has returned: the kernel serves the marks of inodes before those
    of mounts (fs/notify/fsnotify.c), so that the tool's write is recorded first. The value tells: it is the tool's. That counts as 0 s.
    """
    foreign = [n.at_ns for n in noted if n.pid not in (pid, os.getpid())]
    if not foreign:
        raise RuntimeError(f"no write of the runtime was seen at {instance.path}")
    at_ns = foreign[-1]
    value, first_ns = first
    ours = next((n.at_ns for n in noted if n.pid == pid and n.at_ns > at_ns), None)
    if ours is None and value == OURS and any(n.pid == pid for n in noted):
        ours = at_ns
    ours_s = None if ours is None else (ours - at_ns) / 1e9
    return Start(instance.pod.runtime, value == OURS, ours_s, (first_ns - at_ns) / 1e9)


def run_one(name: str, driver: str, containers: int, work: Path) -> tuple[list[Start], float]:
    """All starts under one tool, and how long they took."""
    node = make_node(work, driver, status_delay_s=1.0, systemd_writes=True)
    try:
        writer = start_writer(name, node)
        observer = Observer(MOUNT, work / "observer")
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            started = [i for some in pool.map(node.kubelet.run_pod, pods(containers)) for i in some]
        lasted = time.monotonic() - began
        wait_until_written(node, started)
        notes = observer.end()
        looks = {i.container_id: look(node, i) for i in started}
        writer.end()
        return [start_of(i, looks[i.container_id], notes[i.path], writer.pid) for i in started], lasted
    finally:
        node.close()


def look(node: Node, instance: Instance) -> tuple[str, int]:
    """The value at the container's first instruction, and the time."""
    node.kubelet.first_look(instance)
    found = first_look(instance.container_id)
    assert found is not None
    return found


def wait_until_written(node: Node, started: list[Instance]) -> None:
    """Until every memory.oom.group is 0, or time is over."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and any(node.knob(i.path) != "0" for i in started):
        time.sleep(0.5)


def row(name: str, runtime: str, starts: list[Start]) -> tuple[str, ...]:
    """One row of the table."""
    took = [s.ours_s for s in starts if s.ours_s is not None]
    p50, p99, most = spread(took)
    never = len(starts) - len(took)
    return (
        name,
        runtime,
        share(sum(s.right_at_first for s in starts), len(starts)),
        ms(p50),
        ms(p99),
        ms(most),
        str(never) if never else "-",
    )


def result(driver: str, containers: int, found: dict[str, tuple[list[Start], float]]) -> Result:
    """The table, and the verdict on the goal."""
    rows = [
        row(name, runtime, [s for s in starts if s.runtime == runtime])
        for name, (starts, _) in found.items()
        for runtime in RUNTIMES
    ]
    ours = found[AGENT][0]
    right = sum(s.right_at_first for s in ours)
    p50, p99, most = spread([s.ours_s for s in ours if s.ours_s is not None])
    window = spread([s.first_s for s in ours])
    note = (
        f"ms from the runtime's write to the tool's. With {AGENT} the first instruction came {ms(window[0])} ms (p50) after "
        f"the runtime's write; {containers} containers took {found[AGENT][1]:.0f} s to start. 0: the tool had written before the "
        "runtime's system call returned."
    )
    columns = (
        "tool", "runtime", "right at the first instruction", "p50", "p99", "max", f"not within {PATIENCE_S:.0f} s",
    )  # fmt: skip
    return Result(
        "start",
        driver,
        "lab",
        {"containers": containers, "pods at once": AT_ONCE},
        (Table(f"Starts with the {driver} driver", columns, tuple(rows), note),),
        (Verdict("first-instruction", f"{share(right, len(ours))}, {driver} driver", right == len(ours)),),
        {"right": right, "containers": len(ours), "p50_s": p50, "p99_s": p99, "max_s": most},
    )


def main() -> None:
    """Measure inside the lab."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--driver", required=True)
    top.add_argument("--containers", type=int, required=True)
    asked = top.parse_args()
    found = {}
    for name in WRITERS:
        found[name] = run_one(name, asked.driver, asked.containers, Path(tempfile.mkdtemp()))
        print(f"{name}: {asked.containers} containers in {found[name][1]:.0f} s", flush=True)
    leave(result(asked.driver, asked.containers, found), Path(os.environ["OOMWARD_LAB_OUT"]))


if __name__ == "__main__":
    main()
