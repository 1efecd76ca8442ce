"""The machine of this soak: World with a real containerd, an NRI connection that can be troubled, a small disk, and recover beside."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.kernel.conftest import NODE, Node
from tests.lab.apiserver import ApiServer
from tests.lab.containerd import NRI_SOCKET
from tests.lab.spec import Instance
from tests.soak.hostile import HOSTILE
from tests.soak.whole.cri import SoakKubelet
from tests.soak.whole.nri import Proxy
from tests.soak.whole.recovery import Recovery
from tests.soak.whole.sizes import Size, size_of
from tests.soak.world import BOOKMARK_S, Witness, World

HISTORY = 200  # changes that the API remembers: those of large pods are large
STATE_SIZE = "384m"  # of the disk that the agent's state is on
LIMIT_MIB = 32  # runc 1.3 needs more than 16 for itself
CONNECTED_S = 120.0  # the agent's back-off grows to 30 s
LATE_S = 3.0  # after something hung


@dataclass(slots=True)
class Whole(World):
    """``unasked`` are the times (CLOCK_MONOTONIC) in which NRI hung."""

    kubelet: SoakKubelet = field(kw_only=True)
    proxy: Proxy = field(kw_only=True)
    recovery: Recovery = field(kw_only=True)
    unasked: list[tuple[float, float]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # promises that did not hold while something was wrong
    sizes: list[Size] = field(default_factory=list)  # of agents and controllers
    attacks: dict[str, int] = field(default_factory=dict)  # by name
    troubles: list[str] = field(default_factory=list)  # the attackers' own, with the runtime
    ended_s: float = 0.0  # CLOCK_MONOTONIC at which the trouble ended
    last_agent: int = 0  # its pid, at that time

    @property
    def state(self) -> Path:
        """The agent's folder, a file system of its own."""
        return self.node.work / "state"

    def sample(self) -> None:
        """Of the agent, as World does, and of all programs."""
        self.write_history()  # as it goes on: a run that stands still shows where
        World.sample(self)
        self.sizes.append(size_of("agent", self.node.agent.process.pid, self.state))
        self.sizes += [size_of("recover", pid, None) for pid in self.recovery.pids()]

    def write_history(self) -> None:
        """Actions with their times, to where it outlives the machine."""
        lines = [f"{at_s:.1f} {name}\n" for at_s, name in self.history]
        (Path(os.environ["OOMWARD_LAB_OUT"]) / "soak-actions.log").write_text("".join(lines))

    def wait_until_asked(self) -> None:
        """By the runtime, by NRI. Raises AgentFailedError when the agent is not in time."""
        agent = self.node.agent
        agent.wait_for(lambda: agent.total("oomward_nri_connected") == 1, CONNECTED_S, "asked by the runtime")

    def honest(self) -> list[Instance]:
        """Containers of pods that are no attacker's."""
        return [i for i in self.node.kubelet.instances if not i.pod.namespace.startswith(HOSTILE)]

    def close(self) -> None:
        self.recovery.close()
        World.close(self)
        subprocess.run(["umount", "--lazy", str(self.state)], check=False)


def make_whole(work: Path) -> Whole:
    """A node under the systemd driver, with an agent that the runtime asks, and recover."""
    state = work / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={STATE_SIZE}", "tmpfs", str(state)], check=True)
    api = ApiServer(bookmark_s=BOOKMARK_S, history=HISTORY)
    api.start()
    kubelet = SoakKubelet(
        NODE,
        "systemd",
        publish=api.put_pod,
        remove=lambda pod: api.delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"]),
        status_delay_s=0.5,
        backoff_factor=0.05,
    )
    proxy = Proxy(Path("/run/soak/nri.sock"), NRI_SOCKET)
    api.write_kubeconfig(work / "kubeconfig")
    world = Whole(
        Node(kubelet, api, work),
        Witness(),
        options=("--nri-socket", str(proxy.path)),
        beside_systemd=True,
        annotations={"oomward.dev/pressure-events": "true", "oomward.dev/on-stall": "kill-largest"},
        limit_mib=LIMIT_MIB,
        kubelet=kubelet,
        proxy=proxy,
        recovery=Recovery(api, work),
    )
    world.start_agent().wait_ready()
    world.wait_until_asked()
    return world
