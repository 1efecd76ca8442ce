"""`oomward recover` beside the node: two replicas, of which any may be killed at any time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from agent.recover.history import History, parse_history
from tests.lab.apiserver import ApiServer
from tests.lab.boot import REPO
from tests.soak.whole.owners import BUILDS, Owners

HOME = "oomward"
FIRST_PORT = 9900
REPLICAS = ("one", "two")
# Short times, so that there is much to see; no bound per hour: what is looked for is a fight, which the bound per owner must end.
POLICY = f"""
dryRun: false
maxRecoveryAttempts: 3
backOff: 1s
maxBackOff: 8s
stableFor: 5s
growsPerHour: 100
namespaceRecoveriesPerHour: 5000
clusterRecoveriesPerHour: 10000
breakerOwners: 1000
strategies:
- {BUILDS}
"""


class Recovery:
    """``deaths``: of replicas that nobody killed."""

    def __init__(self, api: ApiServer, work: Path) -> None:
        self.owners = Owners(api)
        self.deaths: list[str] = []
        self.logs = {name: work / f"recover-{name}.log" for name in REPLICAS}
        self._api, self._work = api, work
        (work / "policy.yaml").write_text(POLICY)
        self._running = {name: self._start(name) for name in REPLICAS}

    def pids(self) -> list[int]:
        """Of the replicas that run."""
        return [each.pid for each in self._running.values() if each.poll() is None]

    def replace_one(self, chance: random.Random) -> None:
        """kill -9, or an upgrade."""
        name = chance.choice(REPLICAS)
        self._end(name, chance.choice((signal.SIGKILL, signal.SIGTERM)))
        self._running[name] = self._start(name)

    def history(self) -> History:
        """The journal, as it is in the API."""
        key = ("/api/v1", "configmaps", HOME, "oomward-recover")
        found = self._api.objects.stored.get(key)
        return History() if found is None else parse_history(found["data"]["journal.json"])

    def close(self) -> None:
        """End both."""
        try:
            self.owners.end()
        finally:
            for name in REPLICAS:
                self._end(name, signal.SIGTERM)

    def _end(self, name: str, by: signal.Signals) -> None:
        process = self._running[name]
        if process.poll() is not None:
            self.deaths.append(f"recover {name} ended by itself with {process.returncode}")
            return
        process.send_signal(by)
        process.wait(60)

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        listen = f"127.0.0.1:{FIRST_PORT + REPLICAS.index(name)}"
        command = [sys.executable, "-m", "agent", "recover", "--policy", str(self._work / "policy.yaml")]
        command += ["--kubeconfig", str(self._work / "kubeconfig"), "--listen", listen, "--log-format", "json"]
        environment = os.environ | {"POD_NAME": name, "POD_NAMESPACE": HOME, "OOMWARD_CONFIG": ""}
        with self.logs[name].open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=REPO
            )
