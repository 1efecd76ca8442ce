"""``kubectl oomward`` over a simulated cluster: from the start of the command to its end, with all rows printed.

``python -m tests.bench.fleet --nodes 50 --pods 110 --rounds 10``. The API server and the agents are stand-ins in a process of their own
(tests/lab/fleet.py); each agent takes ``--delay`` seconds for its answer, as the agent's own command does. kubectl is the real one where
this machine has one, else its stand-in.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.bench.figures import Cell, Result, Table, Verdict, leave, ms, spread
from tests.lab import kubectl
from tests.lab.apiexec import Command, Ran
from tests.lab.boot import REPO
from tests.lab.fleet import Cluster

GOAL_S = 3.0
ASKED = ("ps -A", "top -A", "history -A --limit 100", "check", "ps -n shop", "explain shop/web-1-0")
COUNTED = ASKED[0]


def serve(nodes: int, pods: int, delay_s: float, kubeconfig: Path) -> None:
    """Until standard input is closed."""
    cluster = Cluster(nodes, pods)
    cluster.server.token = None  # kubectl sends none to a server without TLS
    for name, command in cluster.server.commands.items():
        cluster.server.commands[name] = _prepared(command, delay_s)
    cluster.server.start()
    cluster.server.write_kubeconfig(kubeconfig)
    print("serving", flush=True)
    sys.stdin.read()
    cluster.server.close()


def _prepared(command: Command, delay_s: float) -> Command:
    """Each answer is made once: on a real node its own processor does that."""
    made: dict[tuple[str, ...], Ran] = {}

    def of(words: Sequence[str]) -> Ran:
        key = tuple(words)
        if key not in made:
            made[key] = replace(command(words), delay_s=delay_s)
        return made[key]

    return of


@contextmanager
def served(nodes: int, pods: int, delay_s: float) -> Iterator[dict[str, str]]:
    """The environment in which kubectl reaches the cluster."""
    with tempfile.TemporaryDirectory(prefix="oomward-bench-") as folder:
        config = Path(folder) / "kubeconfig"
        sizes = ["--nodes", str(nodes), "--pods", str(pods), "--delay", str(delay_s)]
        words = [sys.executable, "-m", "tests.bench.fleet", *sizes, "--serve", str(config)]
        with subprocess.Popen(words, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdin is not None
            server.stdout.readline()
            environment = os.environ | {"KUBECONFIG": str(config), "PYTHONPATH": str(REPO)}
            if shutil.which("kubectl") is None:
                kubectl.install(Path(folder))
                environment["PATH"] = os.pathsep.join([folder, environment["PATH"]])
            try:
                yield environment
            finally:
                server.stdin.close()


def took_s(words: str, environment: dict[str, str]) -> tuple[float, int]:
    """Seconds of one command, and the lines that it printed. Raises CalledProcessError if it fails."""
    begun_s = time.monotonic()
    command = [sys.executable, "-m", "agent", "--all-nodes", *words.split()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return time.monotonic() - begun_s, len(done.stdout.splitlines())


def measure(nodes: int, pods: int, delay_s: float, rounds: int) -> Result:
    """Each command ``rounds`` times, after one that is not counted."""
    times: dict[str, list[float]] = {words: [] for words in ASKED}
    lines: dict[str, int] = {}
    with served(nodes, pods, delay_s) as environment:
        for words in ASKED:
            took_s(words, environment)
        for _ in range(rounds):
            for words in ASKED:
                took, lines[words] = took_s(words, environment)
                times[words].append(took)
    assert lines[COUNTED] == nodes * pods + 1, f"{lines[COUNTED]} lines instead of {nodes * pods} rows"
    rows: list[tuple[Cell, ...]] = [
        (f"kubectl oomward {words}", lines[words], *(f"{ms(value)} ms" for value in spread(times[words])))
        for words in ASKED
    ]
    p50 = spread(times[COUNTED])[0]
    return Result(
        group="fleet",
        part="native",
        where="native",
        sizes={"nodes": nodes, "pods per node": pods, "rounds": rounds, "agent's time (s)": delay_s},
        tables=(Table("Commands over the whole cluster", ("command", "lines", "p50", "p99", "max"), tuple(rows)),),
        verdicts=(Verdict("fleet", f"p50 {p50:.2f} s", p50 <= GOAL_S),),
        numbers={"ps_p50_s": p50},
        machine={"kubectl": _version()},
    )


def _version() -> str:
    if shutil.which("kubectl") is None:
        return "a stand-in"
    words = ["kubectl", "version", "--client"]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--pods", type=int, default=110, help="per node")
    parser.add_argument("--delay", type=float, default=0.15, help="seconds that an agent takes")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--serve", type=Path, metavar="KUBECONFIG", help="only serve the cluster")
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.nodes, given.pods, given.delay, given.serve)
        return
    found = measure(given.nodes, given.pods, given.delay, given.rounds)
    for table in found.tables:
        for row in (table.columns, *table.rows):
            print("  ".join(f"{cell!s:>12}" if at else f"{cell!s:<40}" for at, cell in enumerate(row)))
    print(f"goal: p50 of `kubectl oomward {COUNTED}` at most {GOAL_S:g} s: {found.verdicts[0].measured}")
    leave(found, Path(os.environ.get("OOMWARD_LAB_OUT", REPO / "build" / "bench")))


if __name__ == "__main__":
    main()
