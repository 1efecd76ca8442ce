"""A poller: lists the labelled pods of the node every few seconds and writes to paths that it computes.

Stands for github.com/ignacyr/kube-oom-policy 0.1.0 (its README and internal/reconciler): every 5 s the node, then the pods by
selector; of each running regular container the path from QoS class, uid and id; where the value differs the pod is read
again, and written. Better than that: CRI-O's names are computed as well as containerd's. It doesn't look into crun's
``container`` below a scope, since that can't be computed from the API.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.peers.client import Client

PREFIXES = {"containerd": "cri-containerd", "cri-o": "crio"}


def container_paths(root: str, pod: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each running regular container's id and the paths where it may be, below the mount."""
    qos = pod["status"].get("qosClass", "Burstable").lower()
    level = "" if qos == "guaranteed" else qos
    uid = pod["metadata"]["uid"]
    for status in pod["status"].get("containerStatuses", ()):
        if "running" not in status.get("state", {}):
            continue
        container_id = status["containerID"].partition("://")[2]
        if root.endswith(".slice"):
            stem = root.rpartition("/")[2].removesuffix(".slice")
            above = f"{root}/{stem}-{level}.slice" if level else root
            slice_ = f"{stem}-{level}" if level else stem
            at = f"{above}/{slice_}-pod{uid.replace('-', '_')}.slice"
            yield container_id, tuple(f"{at}/{prefix}-{container_id}.scope" for prefix in PREFIXES.values())
        else:
            yield container_id, ("/".join(part for part in (root, level, f"pod{uid}", container_id) if part),)


def reconcile(client: Client, node: str, mount: Path, root: str, selector: str) -> None:
    """One round."""
    client.get(f"/api/v1/nodes/{node}")
    pods = client.get("/api/v1/pods", fieldSelector=f"spec.nodeName={node}", labelSelector=selector)
    for pod in pods["items"]:
        for container_id, paths in container_paths(root, pod):
            file = next((k for k in (mount / path / "memory.oom.group" for path in paths) if k.exists()), None)
            if file is None or file.read_text().strip() == "0":
                continue
            metadata = pod["metadata"]
            fresh = client.get(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}")
            if container_id in dict(container_paths(root, fresh)):
                file.write_text("0")


def main() -> None:
    """Until it is killed."""
    top = argparse.ArgumentParser(description=__doc__)
    for name in ("--api", "--token", "--node", "--root", "--selector"):
        top.add_argument(name, required=True)
    top.add_argument("--mount", type=Path, required=True)
    top.add_argument("--every", type=float, default=5.0)
    asked = top.parse_args()
    client = Client(asked.api, asked.token)
    while True:
        try:
            reconcile(client, asked.node, asked.mount, asked.root, asked.selector)
        except OSError as error:
            print(f"this round failed, the next is in {asked.every} s: {error}", flush=True)
        time.sleep(asked.every)


if __name__ == "__main__":
    main()
