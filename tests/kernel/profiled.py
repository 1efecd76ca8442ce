"""A node whose agent runs as its DaemonSet would have it: in a container with a profile's power, with the API by https."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path
from typing import Any

from tests.kernel.conftest import FAMILY, MODE, NODE, Node
from tests.lab.agent_container import AgentContainer
from tests.lab.apiserver import ApiServer
from tests.lab.drivers import Driver
from tests.lab.kubelet import Kubelet, memory_events
from tests.lab.profiles import Profile
from tests.lab.spec import Container, Instance, Pod
from tests.lab.status import pod_object

TLS = Path(__file__).parents[1] / "unit" / "metrics" / "tls"
OURS = "oomward"
PAUSE = ("pause",)


class ProfiledNode(Node):
    """``start`` in the place of start_agent; one agent at a time."""

    def start(
        self, profile: Profile, *extra: str, ready: bool = True, name: str = "", account: bool = True
    ) -> AgentContainer:
        """Start the agent with this profile. ``name``: a state of its own; else the one before it left is found."""
        for number, agent in enumerate(self.agents):
            agent.stop()
            self.api.delete_pod(OURS, f"{OURS}-{number}")
        work = self.work / (name or "agent")
        pod = Pod(
            f"{OURS}-{len(self.agents)}",
            (Container("agent", ("run",), profile.memory_limit_mib),),
            labels={MODE: "single"},
            namespace=OURS,
        )
        self.api.put_pod(pod_object(pod, NODE, []))
        cgroup = self.kubelet.driver.container_path(pod, f"{len(self.agents):064x}")
        agent = AgentContainer(
            work,
            profile,
            node_name=NODE,
            cgroup=cgroup,
            account=self._account() if account else None,
            api_port=int(self.api.url.rpartition(":")[2]),
            extra=extra,
        )
        self.agents.append(agent)
        if ready:
            agent.wait_ready()
        return agent

    @property
    def agent(self) -> AgentContainer:
        """The one that runs."""
        found = super().agent
        assert isinstance(found, AgentContainer)
        return found

    def _account(self) -> Path:
        """The service account's files."""
        folder = self.work / "account"
        folder.mkdir(exist_ok=True)
        shutil.copy2(TLS / "ca.pem", folder / "ca.crt")
        (folder / "token").write_text(self.api.token or "")
        (folder / "namespace").write_text(OURS)
        return folder


def make_profiled_node(work: Path, driver: str, **options: Any) -> ProfiledNode:
    """Its API answers with a certificate for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
    api = ApiServer(tls=context)
    api.start()
    kubelet = Kubelet(
        NODE,
        Driver(driver),
        publish=api.put_pod,
        remove=lambda pod: api.delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"]),  # type: ignore[index]
        **options,
    )
    return ProfiledNode(kubelet, api, work)


def start(node: ProfiledNode, name: str, *args: str, runtime: str = "crun", asks: str | None = "single") -> Instance:
    labels = {MODE: asks} if asks else {}
    pod = Pod(name, (Container("main", args or PAUSE),), labels=labels, runtime=runtime, restart_policy="Never")
    return node.kubelet.run_pod(pod)[0]


def status(agent: AgentContainer) -> dict[str, str]:
    """proc_pid_status(5) of the agent."""
    lines = Path(f"/proc/{agent.pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def effective(agent: AgentContainer) -> int:
    return int(status(agent)["CapEff"], 16).bit_count()


def same_namespace(agent: AgentContainer, kind: str) -> bool:
    return Path(f"/proc/{agent.pid}/ns/{kind}").readlink() == Path(f"/proc/self/ns/{kind}").readlink()


def messages(agent: AgentContainer, level: str) -> str:
    return "\n".join(str(line.get("message", "")) for line in agent.log_lines(level=level))


def a_kill_is_told(node: ProfiledNode, name: str, runtime: str = "crun") -> dict[str, object]:
    """A held container loses one process; returns the Event."""
    instance = start(node, name, *FAMILY, runtime=runtime)
    node.kubelet.wait_for(lambda: memory_events(instance.path).get("oom_kill") == 1, 60)
    node.agent.wait_for(lambda: node.events("ProcessOOMKilled", name), 60, "told")
    assert node.kubelet.first_look(instance) == "0"
    assert instance.running
    assert node.agent.total("oomward_oom_kills_total", pod=name, mode="single") == 1
    (event,) = node.events("ProcessOOMKilled", name)
    node.kubelet.delete_pod(instance.pod)
    return event


def stays_as_the_kubelet_made_it(node: ProfiledNode, name: str) -> Instance:
    """A container that asks for single and does not get it."""
    instance = start(node, name, *FAMILY)
    node.kubelet.wait_for(lambda: not instance.running, 60)
    assert instance.exit_code == 137
    return instance
