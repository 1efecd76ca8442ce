"""``python -m tests.soak --minutes 10``: boots the lab's kernel, soaks, and reports what is wrong.

``--kind tenants`` (the default): hostile tenants beside honest ones, of which Events and scrapes are measured. ``--kind node``: the node,
the API and the agent itself are in trouble, and each invariant is checked at the end. ``--kind all``: both, on a machine with a real
systemd and containerd, with NRI and recover.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.lab import boot, runtime, systemd
from tests.soak import tenants
from tests.soak.host import Host, allow_mappings
from tests.soak.invariants import INVARIANTS, Rest
from tests.soak.run import soak
from tests.soak.world import World

SETTLING_S = 600.0  # beyond the minutes asked for
MEMORY = "4G"
MOST_SHOWN = 60


def inside_with_tenants(driver: str, seconds: float, seed: int) -> int:
    """On the kernel."""
    wrong, figures = tenants.soak(Path(tempfile.mkdtemp()), driver, seconds, seed)
    print(
        json.dumps(
            {"problems": {"honest tenants are unharmed": wrong[:MOST_SHOWN]}, **figures, "breaches": len(wrong)}
        ),
        flush=True,
    )
    return 1 if wrong else 0


def inside_with_all(driver: str, seconds: float, seed: int) -> int:
    """Beside systemd and containerd. ``driver`` is systemd."""
    from tests.soak.whole.checks import CHECKS, flat  # needs grpc
    from tests.soak.whole.run import keep_logs, soak

    with (Path(os.environ["OOMWARD_LAB_OUT"]) / "soak-stacks.log").open("w") as stacks:
        faulthandler.enable(stacks)
        try:
            world, rest = soak(Path(tempfile.mkdtemp()), seconds, seed, stacks)
        finally:
            faulthandler.cancel_dump_traceback_later()
            faulthandler.disable()
    try:
        found = {name: check(world, rest)[:MOST_SHOWN] for name, check in CHECKS.items()}
        attempts = world.recovery.history().attempts
        report = {
            "problems": found,
            **report_of(world, rest),
            "attacks": world.attacks,
            "the runtime's trouble": world.troubles[:MOST_SHOWN],
            "NRI connections": len(world.proxy.lives),
            "recoveries": dict(Counter(f"{one.action} {one.state}" for one in attempts)),
            "undone by owners": sum(owner.reverted for owner in world.recovery.owners.all),
            **flat(world)[1],
        }
        print(json.dumps(report), flush=True)
        return 1 if any(found.values()) else 0
    finally:
        keep_logs(world)
        world.close()


def report_of(world: World, rest: Rest) -> dict[str, object]:
    """Figures."""
    return {
        "done": dict(world.done),
        "missed": dict(world.missed),
        "containers": len(world.node.kubelet.instances),
        "agents": len(world.node.agents),
        "events": len(world.node.api.events),
        "writes": world.witness.total,
        "wakeups_per_s": round(rest.wakeups / rest.seconds, 2),
        "rss_mib": [round(s.rss_bytes / (1 << 20), 1) for s in (world.samples[0], rest.last, rest.fresh)],
    }


def inside(driver: str, seconds: float, seed: int) -> int:
    """On the kernel."""
    world, rest = soak(Path(tempfile.mkdtemp()), driver, seconds, seed)
    try:
        found = {name: check(world, rest) for name, check in INVARIANTS.items()}
        kills = sum(i.events.get("oom_kill", 0) for i in world.node.kubelet.instances)
        report = {"problems": found, **report_of(world, rest), "kills in containers that ended": kills}
        print(json.dumps(report), flush=True)
        return 1 if any(found.values()) else 0
    finally:
        world.close()


class Screen:
    """What comes from inside: the report, or something that went wrong there."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def take(self, line: bytes) -> None:
        try:
            report = json.loads(line)
            problems = report.pop("problems")
        except (ValueError, AttributeError, KeyError):
            self._console.print(line.decode(errors="replace").rstrip(), markup=False)
            return
        table = Table("invariant", "held", "what is wrong")
        for name, wrong in problems.items():
            table.add_row(name, "NO" if wrong else "yes", "\n".join(wrong))
        self._console.print(table)
        for name, value in report.items():
            self._console.print(f"{name}: {value}", markup=False)


def main() -> int:
    """Exit status 0: all of them held."""
    top = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    top.add_argument("--minutes", type=float, default=10.0)
    top.add_argument("--driver", choices=("systemd", "cgroupfs"), default="systemd")
    top.add_argument("--kind", choices=("tenants", "node", "all"), default="tenants")
    top.add_argument("--seed", type=int, help="for the same trouble once more; chosen and said when not given")
    top.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = top.parse_args()
    if asked.inside:
        faulthandler.enable()  # where it crashes on a kernel of the lab, its threads' stacks are all that is left
        kinds = {"tenants": inside_with_tenants, "node": inside, "all": inside_with_all}
        return kinds[asked.kind](asked.driver, asked.minutes * 60, asked.seed)
    seed = random.randrange(1 << 30) if asked.seed is None else asked.seed
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    console.print(f"{asked.minutes:g} minutes of trouble ({asked.kind}) under the {asked.driver} driver, seed {seed}")
    runtime.build_hog()
    command = [sys.executable, "-m", "tests.soak", "--inside", "--minutes", str(asked.minutes)]
    command += ["--kind", asked.kind, "--driver", asked.driver, "--seed", str(seed)]
    out, screen = boot.REPO / "build" / "lab" / "soak", Screen(console)
    if (trouble := allow_mappings()) is not None:
        console.print(trouble)
    host = Host(out)
    host.start()
    try:
        start = systemd.run if asked.kind == "all" else boot.run
        return start(command, memory=MEMORY, timeout_s=asked.minutes * 60 + SETTLING_S, out=out, sink=screen.take)
    finally:
        host.end()


if __name__ == "__main__":
    sys.exit(main())
