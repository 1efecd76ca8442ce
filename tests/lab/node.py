"""A small node, standing: kubepods tree, containers of both runtimes, API and agent, and a command (a shell) beside them.

``python -m tests.lab.node [--driver systemd|cgroupfs] [COMMAND…]``, inside of ``python -m tests.lab boot``; `make lab` does both.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.lab.agent_process import AgentProcess
from tests.lab.apiserver import ApiServer
from tests.lab.drivers import Driver
from tests.lab.kubelet import Kubelet
from tests.lab.spec import Container, Pod

NAME = "lab-node"
WORK = Path("/run/oomward-node")
MODE = "oomward.dev/mode"
QUIET = (Container("main", ("family", "2", "1", "0")),)


def pods() -> list[Pod]:
    """One of each runtime, asking and not asking."""
    return [
        Pod(f"{word}-{runtime}", QUIET, labels=labels, runtime=runtime)
        for runtime in ("runc", "crun")
        for word, labels in (("plain", {}), ("single", {MODE: "single"}))
    ]


def main() -> int:
    """Make the node, run the command, take the node down; returns the command's exit status."""
    top = argparse.ArgumentParser(prog="python -m tests.lab.node", description=__doc__)
    top.add_argument("--driver", choices=("systemd", "cgroupfs"), default="systemd")
    top.add_argument("command", nargs="*", default=["bash"])
    arguments = top.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    api = ApiServer()
    api.start()
    kubeconfig = WORK / "kubeconfig"
    api.write_kubeconfig(kubeconfig)

    def remove(pod: dict[str, Any]) -> None:
        api.delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"])

    kubelet = Kubelet(NAME, Driver(arguments.driver), publish=api.put_pod, remove=remove)
    agent = AgentProcess(WORK, kubeconfig, node_name=NAME)
    try:
        agent.wait_ready(90)
        started = [instance for pod in pods() for instance in kubelet.run_pod(pod)]
        print(
            f"The node stands. API: {api.url}; the agent's log: {agent.log_path}; its pages: http://127.0.0.1:{agent.port}/"
        )
        for instance in started:
            print(f"  {instance.pod.name:12} PID 1 is {instance.pid:5}  /sys/fs/cgroup/{instance.path}")
        print("The command oomward asks this agent: try oomward ps, or oomward explain single-crun.")
        sys.stdout.flush()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        of_agent = {"KUBECONFIG": str(kubeconfig), "NODE_NAME": NAME, "OOMWARD_STATE_DIR": str(WORK / "state")}
        environment = os.environ | of_agent | {"PATH": path}
        return subprocess.run(arguments.command, env=environment, check=False).returncode
    finally:
        agent.stop()
        kubelet.close()
        api.close()


if __name__ == "__main__":
    sys.exit(main())
