"""A real Prometheus, Debian's, that scrapes one agent once a second, with oomward's alert rules loaded.

It keeps all it makes in a temporary folder and ends with its ``with``. The agent's target has the labels that the PodMonitor
gives it in a cluster, and honorLabels is on as there.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.monitoring import rules

SCRAPES = 3  # rate() and increase() need two; one more for what begins late
LABELS = {
    "node": "lab-node",
    "instance": "lab-node",
    "namespace": "oomward",
    "pod": "oomward-lab",
    "container": "agent",
}


class PrometheusError(AssertionError):
    """It does not run, does not scrape or refuses a query; the message says which."""


def tool(name: str) -> str:
    """The path of one of the programs of Debian's package prometheus."""
    found = shutil.which(name)
    if found is None:
        raise PrometheusError(
            f"{name} is not installed: run `bash scripts/setup-debian.sh` as root, or install Debian's package prometheus."
        )
    return found


class Prometheus:
    """``url`` is the agent's page, as in http://127.0.0.1:9797/metrics. ``labels`` of its target are beside LABELS.

    ``others`` is another page, of exporters beside the agent. ``more`` are further keys of the agent's scrape_config, such as
    basic_auth and tls_config.
    """

    def __init__(
        self,
        url: str,
        *,
        others: str | None = None,
        more: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] = {},
    ) -> None:
        self._target = urllib.parse.urlsplit(url)
        if not self._target.netloc:
            raise PrometheusError(f"{url!r} is no URL of a metrics page, such as http://127.0.0.1:9797/metrics")
        self._others = others
        self._more = dict(more or {})
        self._labels = {**LABELS, **labels}
        self._program = tool("prometheus")
        self._folder = tempfile.TemporaryDirectory(prefix="oomward-prometheus-")
        self._log = Path(self._folder.name) / "log"
        self._url = f"http://127.0.0.1:{_free_port()}"

    def __enter__(self) -> Prometheus:
        folder = Path(self._folder.name)
        rules.write(folder)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(self._config()))
        command = [
            self._program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={self._url.removeprefix('http://')}", "--log.level=warn",
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _config(self) -> dict[str, Any]:
        static = {"targets": [self._target.netloc], "labels": self._labels}
        scrape = {
            "job_name": "oomward",
            "scheme": self._target.scheme or "http",
            "metrics_path": self._target.path or "/metrics",
            "honor_labels": True,
            "static_configs": [static],
            **self._more,
        }
        scrapes = [scrape]
        if self._others is not None:
            target = {"targets": [urllib.parse.urlsplit(self._others).netloc]}
            scrapes.append({"job_name": "others", "honor_labels": True, "static_configs": [target]})
        every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        return {"global": every, "rule_files": ["rules.yaml"], "scrape_configs": scrapes}

    # ---------------------------------------------------------------------------------------------------- questions

    def wait_scraped(self, seconds: float = 60.0) -> None:
        """Until the agent's page was read SCRAPES times from now on; call it again after something happened."""
        read = f'timestamp(up{{job="oomward"}}) > {time.time()} and up{{job="oomward"}} == 1'
        seen: set[str] = set()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen |= {sample["value"][1] for sample in self._soon(read)}
            if len(seen) >= SCRAPES:
                return
            time.sleep(0.2)
        raise PrometheusError(f"Prometheus did not scrape {self._target.geturl()} within {seconds:g} s: {self._why()}")

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        result: list[dict[str, Any]] = self._get("query", query=expr)["result"]
        return result

    def label_values(self, metric: str, label: str) -> list[str]:
        """As Grafana asks for the values of a variable."""
        found: list[str] = self._get(f"label/{label}/values", **{"match[]": metric})
        return found

    def rules(self) -> dict[str, tuple[str, str]]:
        """Health (ok, err, unknown: not evaluated yet) and last error of each alert, by name."""
        groups = self._get("rules")["groups"]
        return {
            rule["name"]: (rule["health"], rule.get("lastError", "")) for group in groups for rule in group["rules"]
        }

    def firing(self) -> set[tuple[str, str]]:
        """Name and pod of each alert that fires now; pod is empty for those without."""
        alerts = self._get("alerts")["alerts"]
        return {(a["labels"]["alertname"], a["labels"].get("pod", "")) for a in alerts if a["state"] == "firing"}

    def _soon(self, expr: str) -> list[dict[str, Any]]:
        """As query(), but no answer yet is no error while the process starts."""
        if self._process.poll() is not None:
            raise PrometheusError(f"Prometheus ended by itself ({self._process.returncode}): {self._tail()}")
        try:
            return self.query(expr)
        except OSError:
            return []

    def _why(self) -> str:
        try:
            targets = self._get("targets")["activeTargets"]
        except OSError:
            return f"it does not answer; its log: {self._tail()}"
        return "; ".join(target["lastError"] or "not asked yet" for target in targets)

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-1000:].strip() or "nothing in its log"

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 503:  # it is still reading its storage
                    raise ConnectionRefusedError(error.code) from error
                told = error.read().decode(errors="replace")
            raise PrometheusError(f"Prometheus refuses {parameters or path}: {told.strip()}") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
