"""Made-up clusters: a usual one, the same each time; an empty one; one with hostile names and far too much of everything."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from agent.diagnose.memory import in_manifest, next_limit
from agent.look.patches import Raise, patch_for
from agent.look.workloads import Workload
from agent.model import ContainerKind
from agent.report.model import Report
from agent.report.read import NodeAnswer, report_of
from agent.wording.times import rfc3339

MIB, GIB = 1 << 20, 1 << 30
KINDS = ("anon_bytes", "file_bytes", "shmem_bytes", "kernel_bytes", "sock_bytes")
NOW_UNIX_S = 1_781_528_400.0  # 2026-06-15T13:00:00Z
WEEK_S = 7 * 86400.0
HOSTILE = (
    "<script>alert(1)</script>",
    "\u202egnp.exe",
    "a" * 253,
    'x" onload="alert(1)',
    "\x1b[31mred\x07",
    "&lt;b&gt;",
    "עברית",
)


@dataclass(frozen=True, slots=True)
class Made:
    """A workload. ``rate``: kills in the week; ``survives``: the share of them that the container survives. ``mix``: what fills it."""

    namespace: str
    kind: str
    name: str
    container: str
    comm: str
    command: str
    limit: int
    rate: int
    survives: float
    mix: tuple[float, float, float, float, float]  # anon, file, shmem, kernel, sock
    scope: str = "container"


WORKLOADS = (
    Made(
        "notebooks",
        "StatefulSet",
        "jupyter-mara",
        "notebook",
        "python3",
        "python3 -m ipykernel_launcher -f kernel.json",
        4 * GIB,
        31,
        1.0,
        (0.94, 0.03, 0.01, 0.02, 0),
    ),
    Made(
        "notebooks",
        "StatefulSet",
        "jupyter-jonas",
        "notebook",
        "python3",
        "python3 -m ipykernel_launcher -f kernel.json",
        4 * GIB,
        14,
        1.0,
        (0.9, 0.05, 0.03, 0.02, 0),
    ),
    Made(
        "ci",
        "CronJob",
        "nightly-build",
        "build",
        "cc1plus",
        "cc1plus -quiet -O2 src/render/scene.cc -o scene.s",
        2 * GIB,
        24,
        0.7,
        (0.82, 0.13, 0.01, 0.04, 0),
    ),
    Made(
        "shop",
        "Deployment",
        "checkout",
        "app",
        "java",
        "java -Xmx768m -jar checkout.jar",
        GIB,
        9,
        0.0,
        (0.88, 0.04, 0.02, 0.06, 0),
    ),
    Made(
        "shop",
        "Deployment",
        "thumbnails",
        "worker",
        "convert",
        "convert /data/in/4711.tif -resize 400x400 jpg:-",
        512 * MIB,
        12,
        0.9,
        (0.3, 0.05, 0.61, 0.04, 0),
    ),
    Made(
        "data",
        "StatefulSet",
        "postgres",
        "postgres",
        "postgres",
        "postgres: report shop 10.1.4.7 SELECT",
        8 * GIB,
        5,
        0.8,
        (0.4, 0.18, 0.36, 0.05, 0.01),
    ),
    Made(
        "data",
        "Job",
        "import-orders",
        "import",
        "rsync",
        "rsync --archive /source/ /target/",
        256 * MIB,
        7,
        0.0,
        (0.12, 0.79, 0.01, 0.08, 0),
    ),
    Made(
        "edge",
        "DaemonSet",
        "proxy",
        "envoy",
        "envoy",
        "envoy --config-path /etc/envoy.yaml",
        384 * MIB,
        4,
        0.0,
        (0.52, 0.02, 0.01, 0.11, 0.34),
    ),
    Made(
        "shop",
        "Deployment",
        "search",
        "app",
        "node",
        "node --max-old-space-size=900 server.js",
        GIB,
        3,
        0.0,
        (0.91, 0.02, 0, 0.07, 0),
        "node",
    ),
)


def cluster(nodes: int = 12) -> Report:
    """A week of a cluster of some nodes, of which one did not answer."""
    return report_of(answers(nodes), now_unix_s=NOW_UNIX_S, version="0.1.0", since_unix_s=NOW_UNIX_S - WEEK_S)


def answers(nodes: int = 12, seed: int = 20) -> list[NodeAnswer]:
    """As agents of now send them; the last node does not answer."""
    chance = random.Random(seed)
    names = [f"worker-{number:02}" for number in range(1, nodes + 1)]
    kills: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for made in WORKLOADS:
        for kill in _kills(made, names[:-1], chance):
            kills[kill["node"]].append(kill)
    answered = [
        NodeAnswer(
            name,
            {"kills": kills[name]},
            {"containers": list(_containers(name, number, chance))},
            _advice(name, kills[name]),
        )
        for number, name in enumerate(names[:-1])
    ]
    return [
        *answered,
        NodeAnswer(
            names[-1], error="its agent did not answer within 3 s (container oomward is waiting: ImagePullBackOff)"
        ),
    ]


def _kills(made: Made, nodes: list[str], chance: random.Random) -> Iterator[dict[str, Any]]:
    burst = NOW_UNIX_S - chance.uniform(0.2, 0.8) * WEEK_S
    for number in range(made.rate):
        ago = abs(chance.gauss(0, 0.05)) * WEEK_S if number % 3 == 0 else None
        at = burst + ago if ago is not None else NOW_UNIX_S - chance.random() * WEEK_S
        at = min(at, NOW_UNIX_S - 60 * (number + 1))
        survived = chance.random() < made.survives
        mix = [max(0.0, share * chance.uniform(0.8, 1.2)) for share in made.mix]
        usage = made.limit
        sizes = [int(usage * share / sum(mix)) for share in mix]
        pid = chance.randint(300, 90000)
        yield {
            "at_unix_s": round(at, 3),
            "kill_id": f"{made.name}-{number}",
            "node": nodes[
                (number + len(made.name)) % len(nodes) if made.kind == "CronJob" else len(made.name) % len(nodes)
            ],
            "namespace": made.namespace,
            "pod": _pod(made, number),
            "container": made.container,
            "processes_killed": 1 if survived else chance.randint(1, 6),
            "scope": made.scope,
            "outcome": "survived" if survived else "died",
            "victims": [{"pid": pid, "comm": made.comm, "uid": 1000, "rss_bytes": sizes[0]}],
            "limit_bytes": made.limit if made.scope == "container" else None,
            "usage_bytes": usage,
            "memory": dict(zip(KINDS, sizes, strict=True)),
            "seen": [{"pid": pid, "comm": made.comm, "command": made.command}],
        }


def _pod(made: Made, number: int) -> str:
    letters = "bcdfghjklmnpqrstvwxz2456789"
    tail = "".join(letters[(number * 7 + len(made.name) + place * 5) % len(letters)] for place in range(5))
    match made.kind:
        case "StatefulSet":
            return f"{made.name}-0"
        case "Deployment":
            return f"{made.name}-7d9fb6c4c8-{tail}"
        case "CronJob":
            return f"{made.name}-{29_600_000 + number // 4}-{tail}"
    return f"{made.name}-{tail}"


def _containers(node: str, number: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    for index in range(18):
        made = WORKLOADS[(index + number) % len(WORKLOADS)]
        usage = chance.betavariate(2, 3)
        close = index == 0 and number % 2 == 0
        yield {
            "namespace": made.namespace,
            "pod": _pod(made, number),
            "container": made.container,
            "limit_bytes": made.limit,
            "usage_bytes": int(made.limit * (chance.uniform(0.88, 0.995) if close else usage * 0.85)),
            "peak_bytes": int(made.limit * (chance.uniform(0.995, 1.0) if close else usage * 0.87)),
        }


def _advice(node: str, kills: list[dict[str, Any]]) -> dict[str, Any]:
    rows, patches = [], []
    for made in WORKLOADS:
        own = [
            kill for kill in kills if kill["namespace"] == made.namespace and kill["pod"].startswith(f"{made.name}-")
        ]
        wanted = next_limit(made.limit) if own and made.scope == "container" else None
        reason = (
            f"{len(own)} OOM kills at the limit of {in_manifest(made.limit)} (the last {rfc3339(own[-1]['at_unix_s'])})"
            if own
            else "no OOM kill is known"
        )
        rows.append({
            "namespace": made.namespace, "workload_kind": made.kind, "workload": made.name, "container": made.container, "pod_count": 1,
            "spec_limit_bytes": made.limit, "peak_bytes": made.limit, "kill_count": len(own), "filled_by": None, "why": reason,
            "next_limit_bytes": wanted, "next_limit_quantity": in_manifest(wanted) if wanted else None,
        })  # fmt: skip
        if wanted:
            limits = [Raise(made.container, ContainerKind.REGULAR, in_manifest(wanted), guaranteed=False)]
            patches.append(asdict(patch_for(Workload(made.namespace, made.kind, made.name), limits, [reason])))
    return {"node": node, "workloads": rows, "patches": patches}


def empty() -> Report:
    """No kill in a day."""
    rows = [
        {
            "namespace": "shop",
            "pod": "web-0",
            "container": "app",
            "limit_bytes": GIB,
            "usage_bytes": 90 * MIB,
            "peak_bytes": 120 * MIB,
        }
    ]
    answered = NodeAnswer("worker-01", {"kills": []}, {"containers": rows}, {"workloads": [], "patches": []})
    return report_of(
        [answered], now_unix_s=NOW_UNIX_S, version="0.1.0", since_unix_s=NOW_UNIX_S - 86400, node="worker-01"
    )


BROKEN = """<!doctype html><html><body style="margin: 0"><h3>No h1</h3><script>console.error("said")</script>
<section style="background: #fff"><div style="width: 3000px">wide</div><p style="color: #999; font-size: 9px">faint and small</p>
<div style="width: 40px; overflow: hidden; white-space: nowrap">what nobody can read to its end</div>
<div style="height: 20px">below</div><div style="height: 20px; margin-top: -10px">above</div>
<div class="timeline"><svg role="img" width="50" height="50"><rect class="pale" width="9" height="9" fill="#fffffe"/></svg></div>
<img alt="" src="http://127.0.0.1:9/picture.png"></section></body></html>"""


def hostile(kills: int = 50_000, nodes: int = 60) -> Report:
    """Every name is one of HOSTILE, and there is more of everything than the page has room for."""
    chance = random.Random(7)

    def any_name() -> str:
        return chance.choice(HOSTILE)

    def kill(number: int) -> dict[str, Any]:
        return {
            "at_unix_s": NOW_UNIX_S - chance.random() * 400 * 86400, "kill_id": str(number), "node": any_name(), "namespace": any_name(),
            "pod": f"{any_name()}-{chance.randrange(99)}", "container": any_name(), "victims": [{"pid": 1, "comm": any_name()}],
            "seen": [{"pid": 1, "command": any_name() * 20}], "filled_by": any_name(), "limit_bytes": chance.randrange(1 << 40),
            "outcome": chance.choice(("died", "survived", None, "new")), "scope": chance.choice(("container", "node", None, "new")),
            "processes_killed": chance.randrange(1, 9),
            "memory": {"anon_bytes": chance.randrange(1 << 30), "file_bytes": chance.randrange(1 << 30)},
        }  # fmt: skip

    def container() -> dict[str, Any]:
        return {
            "namespace": any_name(),
            "pod": any_name(),
            "container": any_name(),
            "limit_bytes": MIB,
            "usage_bytes": MIB,
        }

    def advice(number: int) -> dict[str, Any]:
        return {
            "namespace": any_name(), "workload_kind": any_name(), "workload": f"{any_name()}{number}", "container": any_name(),
            "pod_count": 1, "kill_count": 3, "spec_limit_bytes": MIB, "next_limit_quantity": any_name(), "next_limit_bytes": 2 * MIB,
            "why": any_name() * 9,
        }  # fmt: skip

    per_node = kills // nodes
    found = [
        NodeAnswer(
            f"{any_name()}-{node}",
            {"kills": [kill(node * per_node + number) for number in range(per_node)]},
            {"containers": [container() for _ in range(110)]},
            {"workloads": [advice(number) for number in range(20)]},
            notes=(any_name() * 5,),
        )
        for node in range(nodes)
    ]
    silent = [NodeAnswer(f"{any_name()}-{node}", error=any_name() * 9) for node in range(nodes)]
    return report_of([*found, *silent], now_unix_s=NOW_UNIX_S, version="0.1.0", namespace=None)
