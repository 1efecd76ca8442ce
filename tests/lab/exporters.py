"""Stand-in of what others tell Prometheus about a node: the kubelet's cAdvisor and kube-state-metrics, a few metrics of each.

Values are the real cgroups' and the lab's own pods'; names and labels are those of the real exporters. All on one page.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterable

from tests.lab.cgroups import MOUNT
from tests.lab.kubelet import Kubelet
from tests.lab.spec import MIB, Instance


class Exporters:
    """Serves on a free port of the loopback while it is open: ``with Exporters(kubelet, "node") as url``."""

    def __init__(self, kubelet: Kubelet, node: str) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = page(kubelet, node).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Requests are not news."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}/metrics"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def page(kubelet: Kubelet, node: str) -> str:
    """The page as text."""
    running = [instance for instance in list(kubelet.instances) if instance.running]
    return "".join(f"{line}\n" for line in (*_cadvisor(running), *_kube_state(running, node)))


def _labels(instance: Instance) -> str:
    return f'namespace="{instance.pod.namespace}",pod="{instance.pod.name}",container="{instance.container}"'


def _cadvisor(running: Iterable[Instance]) -> Iterable[str]:
    """The working set as cAdvisor reckons it: usage without the inactive file pages."""
    yield "# TYPE container_memory_working_set_bytes gauge"
    for instance in running:
        folder = MOUNT / instance.path
        try:
            usage = int((folder / "memory.current").read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except OSError:
            continue  # it ended meanwhile
        used = max(0, usage - int(stat["inactive_file"]))
        yield f'container_memory_working_set_bytes{{id="/{instance.path}",image="lab",{_labels(instance)}}} {used}'


def _kube_state(running: Iterable[Instance], node: str) -> Iterable[str]:
    yield "# TYPE kube_node_info gauge"
    yield f'kube_node_info{{node="{node}"}} 1'
    yield "# TYPE kube_pod_container_resource_limits gauge"
    for instance in running:
        limits = {container.name: container.limit_mib for container in instance.pod.containers}
        if (limit := limits[instance.container]) is not None:
            more = f'node="{node}",uid="{instance.pod.uid}",resource="memory",unit="byte"'
            yield f"kube_pod_container_resource_limits{{{_labels(instance)},{more}}} {limit * MIB}"
