"""kubectl as a subprocess: JSON in, JSON out, and what it said when it refuses. Which cluster: KUBECONFIG's, as kubectl has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


class RefusedError(AssertionError):
    """kubectl ended with an error; the message is its own."""


class Kubectl:
    """``program``: KUBECTL in the environment, else the one on the PATH."""

    def __init__(self, program: str | None = None) -> None:
        self._program = program or os.environ.get("KUBECTL") or "kubectl"

    def run(self, *arguments: str, stdin: str | None = None, timeout_s: float = 180.0) -> str:
        """Its output. Raises RefusedError."""
        try:
            done = subprocess.run(
                [self._program, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=timeout_s
            )
        except FileNotFoundError:
            raise RefusedError(f"there is no {self._program}: install kubectl, or name it with KUBECTL=…") from None
        if done.returncode:
            raise RefusedError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def json(self, *arguments: str) -> dict[str, Any]:
        """With ``--output json``."""
        found: dict[str, Any] = json.loads(self.run(*arguments, "--output", "json"))
        return found

    def oomward(self, *arguments: str) -> dict[str, Any]:
        """``kubectl oomward … --output json``, of this checkout. Raises RefusedError also if a node did not answer."""
        command = [sys.executable, "-m", "agent", "--all-nodes", *arguments, "--output", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180.0)
        if done.returncode:
            raise RefusedError(f"kubectl oomward {' '.join(arguments)}: {done.stderr.strip()}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def apply(self, *objects: dict[str, Any]) -> None:
        """Make or change objects."""
        self.run(
            "apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        )
