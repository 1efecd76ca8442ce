"""Does a real Prometheus get at a page behind TLS, client certificate and password, set up as docs/howto/secure-metrics.md has it?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.metrics.http import StatusServer
from agent.metrics.metrics import Metrics
from agent.settings import PageGuards, load
from tests.monitoring.prometheus import Prometheus, PrometheusError
from tests.monitoring.rules import ROOT

TLS = ROOT / "tests" / "unit" / "metrics" / "tls"
REFUSED_S = 10.0


@contextmanager
def page() -> Iterator[str]:
    """The URL of a page with all guards; its one user is prometheus with the password s3cret."""
    with tempfile.TemporaryDirectory(prefix="oomward-guarded-") as folder:
        users = Path(folder) / "users"
        users.write_text("prometheus:s3cret\n")
        files = {"tls_cert": TLS / "server.crt", "tls_key": TLS / "server.key", "tls_client_ca": TLS / "ca.pem"}
        flags = {name: str(path) for name, path in (files | {"basic_auth_file": users}).items()}
        fine = lambda: (True, "fine")  # noqa: E731
        guards = PageGuards(load(flags, {"NODE_NAME": "lab-node"}))
        server = StatusServer(("127.0.0.1", 0), Metrics("0.0.0").page, fine, fine, guards)
        server.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}/metrics"
        finally:
            server.close()


def scrape(password: str, *, certificate: bool) -> dict[str, Any]:
    """Prometheus' side of it."""
    tls = {"ca_file": str(TLS / "ca.pem"), "server_name": "oomward"}
    if certificate:
        tls |= {"cert_file": str(TLS / "client.crt"), "key_file": str(TLS / "client.key")}
    return {"tls_config": tls, "basic_auth": {"username": "prometheus", "password": password}}


def check() -> tuple[bool, str]:
    """Whether it is let in with all that is wanted, and turned away without; and what was wrong."""
    said = []
    with page() as url:
        for more, answer in (
            (scrape("s3cret", certificate=True), None),
            (scrape("another", certificate=True), "401"),
            (scrape("s3cret", certificate=False), "403"),
        ):
            try:
                with Prometheus(url, more=more) as prometheus:
                    prometheus.wait_scraped(60.0 if answer is None else REFUSED_S)
            except PrometheusError as error:
                if answer is None or answer not in str(error):
                    said.append(f"wanted {answer or 'a scrape'}, but {error}")
            else:
                if answer is not None:
                    said.append(f"wanted {answer}, but it was let in")
    return not said, "\n".join(said)
