"""``python -m tests.demo.fleet``: a picture of ``kubectl oomward`` for the docs, of real runs on a terminal of 80 columns.

The commands ask simulated agents (tests/lab/fleet.py); one of the nodes has none. Names and numbers are made up, and the same each time.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agent.look.containers import CONTAINERS, ContainerRow
from agent.look.kills import KILLS
from agent.model import Mode, OomKill, Outcome, Victim
from tests.demo.terminal import svg
from tests.lab import kubectl
from tests.lab.boot import REPO
from tests.lab.fleet import MIB, Cluster, kill, node_json, printed, row

PICTURE = REPO / "docs" / "pictures" / "fleet.svg"
WIDTH = 80
COMMANDS = ("kubectl oomward top -A", "kubectl oomward history -A --limit 5")
LAST_UNIX_S = 1_781_528_400.0  # 2026-06-15T13:00:00Z
GIB = 1 << 10  # MiB
# Node, namespace, pod, container, usage, limit (None: none) and peak in MiB, kills.
CONTAINERS_MADE: tuple[tuple[str, str, str, str, int, int | None, int, int], ...] = (
    ("worker-1", "lab", "jupyter-mara-0", "notebook", 4 * GIB - 90, 4 * GIB, 4 * GIB, 31),
    ("worker-2", "ci", "build-x7c2q", "build", 1 * GIB + 730, 2 * GIB, 2 * GIB, 12),
    ("worker-2", "data", "postgres-0", "postgres", 6 * GIB + 300, 8 * GIB, 8 * GIB, 2),
    ("worker-3", "shop", "checkout-5k8dz", "app", 612, 1 * GIB, 1 * GIB, 3),
    ("worker-3", "shop", "search-9bq4v", "app", 498, 1 * GIB, 731, 0),
    ("worker-1", "edge", "proxy-h2m6t", "envoy", 61, 384, 95, 0),
    ("worker-1", "lab", "jupyter-jonas-0", "notebook", 2 * GIB + 205, None, 3 * GIB + 410, 0),
)
# Seconds before the last, node, namespace, pod, container, process, its MiB, mode, outcome.
KILLS_MADE: tuple[tuple[int, str, str, str, str, tuple[int, str], int, Mode, Outcome], ...] = (
    (0, "worker-1", "lab", "jupyter-mara-0", "notebook", (48112, "python3"), 3702, Mode.SINGLE, Outcome.SURVIVED),
    (1265, "worker-3", "shop", "checkout-5k8dz", "app", (20977, "java"), 941, Mode.GROUP, Outcome.DIED),
    (2702, "worker-2", "ci", "build-x7c2q", "build", (31544, "cc1plus"), 702, Mode.SINGLE, Outcome.SURVIVED),
    (2711, "worker-2", "ci", "build-x7c2q", "build", (31490, "cc1plus"), 688, Mode.SINGLE, Outcome.SURVIVED),
    (8059, "worker-2", "data", "postgres-0", "postgres", (7716, "postgres"), 2950, Mode.SINGLE, Outcome.SURVIVED),
)
NODES = ("worker-1", "worker-2", "worker-3")
WITHOUT_AGENT = "worker-4"


def cluster() -> Cluster:
    """Three agents, and a node that has none."""
    made = Cluster(nodes=0)
    for name in NODES:
        made.add_node(name)
        containers = [_container(*one[1:]) for one in CONTAINERS_MADE if one[0] == name]
        made.answer(name, "ps", printed(CONTAINERS.document(containers)))
        kills = [_kill(*one) for one in KILLS_MADE if one[1] == name]
        made.answer(name, "history", printed(KILLS.document(kills)))
    made.server.store.put_node(node_json(WITHOUT_AGENT))
    return made


def _container(
    namespace: str, pod: str, name: str, usage: int, limit: int | None, peak: int, kills: int
) -> ContainerRow:
    seen = row("", namespace, pod, usage=usage, limit=limit)
    return replace(seen, container=name, peak_bytes=peak * MIB, processes_killed=kills)


def _kill(
    ago_s: int,
    node: str,
    namespace: str,
    pod: str,
    container: str,
    process: tuple[int, str],
    resident: int,
    mode: Mode,
    outcome: Outcome,
) -> OomKill:
    pid, comm = process
    victim = Victim(pid, comm, uid=1000, anon_bytes=resident * MIB, file_bytes=0, shmem_bytes=0)
    made = kill((namespace, pod), ago_s)
    return replace(
        made,
        node=node,
        at_unix_s=LAST_UNIX_S - ago_s,
        container=container,
        victims=(victim,),
        mode=mode,
        outcome=outcome,
    )


@contextmanager
def environment(made: Cluster) -> Iterator[dict[str, str]]:
    """In which the commands reach the cluster, by kubectl's stand-in, on a terminal with colours."""
    with tempfile.TemporaryDirectory(prefix="oomward-picture-") as folder:
        config = Path(folder) / "kubeconfig"
        made.server.start()
        made.server.write_kubeconfig(config)
        kubectl.install(Path(folder))
        path = os.pathsep.join([folder, os.environ["PATH"]])
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        try:
            yield kept | {"KUBECONFIG": str(config), "PATH": path, "PYTHONPATH": str(REPO), "TERM": "xterm-256color"}
        finally:
            made.server.close()


def shown(words: Sequence[str], environ: dict[str, str]) -> str:
    """All that the program prints on a terminal of WIDTH columns, with its escape sequences."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
    with subprocess.Popen(words, env=environ, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            return _all(terminal).decode().replace("\r\n", "\n")


def _all(terminal: io.FileIO) -> bytes:
    """Until the program has closed its end, which Linux reports as an error (EIO)."""
    found = b""
    try:
        while piece := terminal.read(1 << 16):
            found += piece
    except OSError:
        pass
    return found


def outputs() -> list[str]:
    """Of each of COMMANDS."""
    with environment(cluster()) as environ:
        program = (sys.executable, "-m", "agent", "--all-nodes")
        return [shown((*program, *command.split()[2:]), environ) for command in COMMANDS]


def picture(said: Sequence[str]) -> str:
    """The commands with what they said, as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    for at, (command, output) in enumerate(zip(COMMANDS, said, strict=True)):
        console.print(Text(f"{chr(10) * (at > 0)}$ {command}", "bold"))
        console.print(Text.from_ansi(output.rstrip("\n")))
    return svg(console, "kubectl oomward", "fleet")


def main() -> None:
    PICTURE.write_text(picture(outputs()))
    print(PICTURE.relative_to(REPO))


if __name__ == "__main__":
    main()
