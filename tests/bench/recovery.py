"""Group load, part recovery: what `oomward recover` asks of the API when idle, and how fast it works when much fails at once.

``python -m tests.bench.recovery --pods 5000 --failing 200 --idle 300``. The real controller against the API's stand-in. A tenth of
the pods ask for recovery. In the rush, that many more, each of an owner of its own, can't pull their image; the changed one is pulled at
once. The rates are set so high that only the controller's own speed is left.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from agent.model.recover import ENABLED_LABEL
from tests.bench.figures import Result, Table, leave
from tests.bench.processes import between, usage
from tests.bench.rig import free_port
from tests.bench.timeline import wait_until
from tests.lab.apiserver import ApiServer
from tests.lab.boot import REPO
from tests.lab.spec import MIB
from tests.unit.recover.pods import Json, no_image, pod, ready

NAMESPACES = 40
ASKING = 10  # one of so many pods
SETTLE_S = 10.0
RUSH_S = 900.0
POLICY = """dryRun: false
backOff: 1s
stableFor: 1s
namespaceRecoveriesPerHour: 1000
clusterRecoveriesPerHour: 1000
breakerOwners: 1000
"""


def namespace(number: int) -> str:
    return f"space-{number % NAMESPACES}"


def fill(server: ApiServer, pods: int) -> None:
    """Pods that run, of which a tenth ask, in opened namespaces."""
    for number in range(NAMESPACES):
        name = f"space-{number}"
        server.objects.stored["/api/v1", "namespaces", "", name] = {
            "metadata": {"name": name, "labels": {ENABLED_LABEL: "true"}}
        }
    for number in range(pods):
        asks = "true" if number % ASKING == 0 else None
        running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        where = {"namespace": namespace(number), "uid": f"uid-{number}"}
        server.put_pod(
            pod(name=f"quiet-{number}", asks=asks, phase="Running", state=running, last={"ready": True}, **where)
        )


def failing(number: int) -> Json:
    raw = no_image(
        name=f"failing-{number}", namespace=namespace(number), uid=f"uid-failing-{number}", created=time.time() - 600
    )
    raw["metadata"]["ownerReferences"][0]["name"] = f"app-{number}"
    return raw


def start(server: ApiServer, work: Path) -> subprocess.Popen[bytes]:
    server.write_kubeconfig(work / "kubeconfig")
    (work / "policy.yaml").write_text(POLICY)
    command = [sys.executable, "-m", "agent", "recover", "--policy", str(work / "policy.yaml")]
    command += ["--kubeconfig", str(work / "kubeconfig"), "--listen", f"127.0.0.1:{free_port()}"]
    environ = {**os.environ, "POD_NAME": "bench", "POD_NAMESPACE": "oomward", "OOMWARD_CONFIG": ""}
    with (work / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=REPO, env=environ, stderr=log)


def counted(server: ApiServer, since: int) -> Counter[str]:
    return Counter(request.verb for request in server.requests[since:])


def shown(counts: Counter[str], per: float = 1.0) -> str:
    return ", ".join(f"{count / per:.4g} {verb}" for verb, count in sorted(counts.items())) or "none"


def measure(pods: int, rush: int, idle_s: float) -> Result:
    """Both parts."""
    server, work = ApiServer(bookmark_s=60.0, history=20_000), Path(tempfile.mkdtemp())
    server.start()
    changed: list[Json] = []

    def note(before: Json | None, after: Json) -> None:
        if before is not None and after.get("kind") == "Pod" and before["spec"] != after["spec"]:
            changed.append(after)

    server.objects.reactors.append(note)
    fill(server, pods)
    process = start(server, work)
    try:
        wait_until(lambda: any(r.verb == "watch" and r.path == "/api/v1/pods" for r in server.requests), 120, "a watch")
        time.sleep(SETTLE_S)
        begin, at_start = usage(process.pid), counted(server, 0)
        asked = len(server.requests)
        time.sleep(idle_s)
        quiet, idle = between(begin, usage(process.pid)), counted(server, asked)
        asked, before, began = len(server.requests), usage(process.pid), time.monotonic()
        for number in range(rush):
            server.put_pod(failing(number))
        done = 0
        while done < rush:
            if time.monotonic() - began > RUSH_S:
                raise TimeoutError(f"{done} of {rush} steps in {RUSH_S:.0f} s")
            time.sleep(0.05)
            while done < len(changed):
                server.put_pod(ready(changed[done], time.time()))  # the kubelet has pulled the other image
                done += 1
        took_s = time.monotonic() - began
        busy, used = between(before, usage(process.pid)), counted(server, asked)
        rss = usage(process.pid).rss_bytes / MIB
    finally:
        process.terminate()
        process.wait(30)
        server.close()
    table = Table(
        "Recovery: requests and speed",
        ("what", "requests", "processor", "resident (MiB)"),
        (
            (f"at its start, {pods:,} pods", shown(at_start), f"{begin.cpu_s:.1f} s", f"{begin.rss_bytes / MIB:.1f}"),
            (
                "idle, per hour",
                shown(idle, idle_s / 3600),
                f"{100 * quiet.cpu_s / quiet.seconds:.2f} % of a core",
                f"{quiet.rss_bytes / MIB:.1f}",
            ),
            (
                f"{rush} pods fail at once: {60 * rush / took_s:.0f} steps per minute",
                f"{sum(used.values()) / rush:.1f} per step: {shown(used, rush)}",
                f"{1000 * busy.cpu_s / rush:.0f} ms per step",
                f"{rss:.1f}",
            ),
        ),
        f"One controller with the lease. {pods:,} pods in {NAMESPACES} opened namespaces, a tenth of them ask. A step is another image for "
        "a pod that can't pull its own, of an owner of its own; the rates per hour are raised for the measurement (by default 10 per "
        "namespace and 60 per cluster).",
    )
    numbers = {"steps_per_minute": 60 * rush / took_s, "requests_per_step": sum(used.values()) / rush, "rss_mib": rss}
    sizes: dict[str, str | int | float] = {"pods": pods, "failing": rush, "idle (s)": idle_s}
    return Result("load", "recovery", "native", sizes, (table,), (), numbers)


def main() -> None:
    """Measure on this machine."""
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--pods", type=int, required=True)
    top.add_argument("--failing", type=int, required=True)
    top.add_argument("--idle", type=float, required=True)
    asked = top.parse_args()
    leave(measure(asked.pods, asked.failing, asked.idle), Path(os.environ["OOMWARD_LAB_OUT"]))


if __name__ == "__main__":
    main()
