"""The agent as a process, as the DaemonSet would run it: started, asked over HTTP, stopped; its log kept."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.lab.pages import page

KEPT_S = 1.05  # the agent gives the same page for a second
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)\Z")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class AgentFailedError(AssertionError):
    """It ended by itself, or is not what the test waits for; its log is in the message."""


def _python(module: str, tree: Path | None) -> list[str]:
    """A module of this checkout; it finds the agent of ``tree`` by PYTHONPATH and the working directory."""
    if tree is None:
        return [sys.executable, "-m", module]
    return [sys.executable, str(Path(__file__).parents[2] / f"{module.replace('.', '/')}.py")]


class AgentProcess:
    """``python -m agent run`` against an API. ``work`` holds kubeconfig, state and log; an agent started anew takes them up.

    ``module`` is what is run in the agent's stead, with its command line. ``real_time``: it is started with that priority; else it has what
    it takes for itself where the tests run, in the root cgroup. ``tree``: the checkout whose agent it is; None: this one.
    ``environment``: besides this process's.
    """

    def __init__(
        self,
        work: Path,
        kubeconfig: Path,
        *,
        node_name: str,
        port: int = 9797,
        extra: tuple[str, ...] = (),
        module: str = "agent",
        real_time: bool = False,
        tree: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.work = work
        self.port = port
        self.log_path = work / "agent.log"
        work.mkdir(parents=True, exist_ok=True)
        command = [
            *_python(module, tree), "run", "--node-name", node_name, "--kubeconfig", str(kubeconfig),
            "--state-dir", str(work / "state"), "--listen", f"127.0.0.1:{port}", "--log-format", "json", *extra,
        ]  # fmt: skip
        if real_time:
            command = ["chrt", "--rr", "1", *command]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | dict(environment) | ({} if tree is None else {"PYTHONPATH": str(tree)}),
                cwd=tree,
            )

    # -------------------------------------------------------------------------------------------------------- pages

    _answered_s = 0.0  # when /metrics was, by this process's clock

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page; 0 when nothing answers. /metrics is never the one that the agent keeps for a second."""
        if path == "/metrics":
            time.sleep(max(0.0, self._answered_s + KEPT_S - time.monotonic()))
        answer = page(self.port, path)
        if path == "/metrics":
            self._answered_s = time.monotonic()
        return answer

    def wait_ready(self, seconds: float = 180.0) -> None:
        """Until /readyz is green."""
        self.wait_for(lambda: self.get("/readyz")[0] == 200, seconds, "ready")

    def metrics(self) -> Series:
        """All samples of the metrics page, by name and labels."""
        found: Series = {}
        for line in self.get("/metrics")[1].splitlines():
            if not line.startswith("#") and (match := SAMPLE.match(line)) is not None:
                labels = frozenset(LABEL.findall(match[2] or ""))
                found[match[1], labels] = float(match[3])
        return found

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that carry these labels."""
        wanted = set(labels.items())
        return sum(value for (found, carried), value in self.metrics().items() if found == name and wanted <= carried)

    def log_lines(self, **fields: object) -> list[dict[str, object]]:
        """Log records that carry these fields."""
        lines = [json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if all(line.get(key) == value for key, value in fields.items())]

    # ---------------------------------------------------------------------------------------------------- life and end

    def wait_for(self, condition: object, seconds: float, what: str) -> None:
        """Until the condition holds. Raises AgentFailedError with the log when it doesn't in time, or the agent ended."""
        assert callable(condition)
        until = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise AgentFailedError(f"the agent ended with {self.process.returncode}:\n{self._tail()}")
            if time.monotonic() > until:
                raise AgentFailedError(f"not {what} within {seconds} s:\n{self._tail()}")
            time.sleep(0.05)

    def _tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-6000:]

    def stop(self, by: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code. Raises AgentFailedError with the log when there is none."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            raise AgentFailedError(f"signal {by} did not end the agent within 30 s:\n{self._tail()}") from None
