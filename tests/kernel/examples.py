"""What the tests of manifests/examples/ share: a node whose restarts come fast, and the handles on a pod that runs there."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.ledger import LedgerReader
from agent.model import OomKill, Outcome
from tests.kernel.conftest import MODE, Node, make_node
from tests.lab import kernel_log
from tests.lab.agent_process import AgentFailedError
from tests.lab.boot import REPO
from tests.lab.gate import Gate, stopped, wait_ended
from tests.lab.runtime import WORK
from tests.lab.spec import Folder, Instance, Pod

TOO_MUCH_MIB = 600  # more than any limit here but the notebook's
SECONDS = 60.0
STANDINS = Folder("/standins", str(REPO / "tests" / "lab" / "standins"))


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def log(instance: Instance) -> str:
    """What the container wrote."""
    return (WORK / "logs" / instance.container_id).read_text(errors="replace")


@dataclass(frozen=True, slots=True)
class Lab:
    """A node with an agent."""

    node: Node

    def run(self, pod: Pod) -> Instance:
        """Start it. If it has the label, its mode is in force and told when this returns."""
        (instance,) = self.node.kubelet.run_pod(pod)
        if MODE in pod.labels:
            self.told("OOMModeApplied", pod)
        return instance

    def starts(self, pod: Pod) -> list[Instance]:
        """All starts of its container so far."""
        return [instance for instance in self.node.kubelet.instances if instance.pod.uid == pod.uid]

    def wait(self, pod: Pod, condition: Callable[[], object]) -> None:
        """Until it holds. When it doesn't, the error has what the containers said."""
        try:
            self.node.kubelet.wait_for(condition, SECONDS)
        except TimeoutError as error:
            said = "\n".join(f"start {i.restart}, exit {i.exit_code}:\n{log(i)[-1500:]}" for i in self.starts(pod))
            raise AssertionError(f"{error}\n{said}") from error

    def ended(self, instance: Instance) -> None:
        """Until this start of its container has ended."""
        self.wait(instance.pod, lambda: not instance.running)

    def told(self, reason: str, pod: Pod) -> str:
        """The note of the first Event with this reason on the pod, once there is one."""
        agent = self.node.agent
        try:
            agent.wait_for(lambda: self.node.events(reason, pod.name), SECONDS, f"{reason} of {pod.name} told")
        except AgentFailedError as error:
            lines = "\n".join(str(line) for line in agent.log_lines() if pod.name in json.dumps(line))
            ends = [(i.container_id, i.exit_code, i.events) for i in self.starts(pod)]
            raise AssertionError(f"{error}\n\nOf this pod:\n{lines}\n{ends}") from error
        return str(self.node.events(reason, pod.name)[0]["note"])

    def dies_alone(
        self, instance: Instance, pid: int, begin: Callable[[], object], *, earlier: Sequence[int] = ()
    ) -> int:
        """``begin`` has this process of the container take too much. With all others stopped, the kernel kills it and no other.

        They go on when the agent has recorded that and told that the container survived it; else it would depend on the machine's speed
        whether a PID 1 that then ends by itself still runs when the agent looks, half a second after the kill. ``earlier``: the pids of
        kills before. Returns ``pid``.
        """
        with stopped(instance.path, but=pid):
            begin()
            self.wait(instance.pod, lambda: len(self.by_kernel(instance.pod)) > len(earlier))
            wait_ended(pid)
            assert self.killed(instance.pod) == [*earlier, pid]
        return pid

    def dies_at(self, gate: Gate, instance: Instance, *, earlier: Sequence[int] = ()) -> int:
        """The process of the container that waits at the gate is let in, and dies alone. Its pid."""
        return self.dies_alone(instance, gate.waiting(instance.path), gate.let_in, earlier=earlier)

    def by_kernel(self, pod: Pod) -> list[kernel_log.Killed]:
        """Whom the kernel killed in the pod so far."""
        return kernel_log.killed(self.node.kubelet.driver.pod_path(pod))

    def killed(self, pod: Pod) -> list[int]:
        """Pids of all kills in the pod, each of which its container survived, by the kernel's log; the agent has recorded exactly these.

        Raises AssertionError if it records another process, another outcome or details that are missing, or tells by an Event of another
        outcome.
        """
        truth = [(one.pid, one.comm) for one in self.by_kernel(pod)]
        self._wait_recorded(pod, lambda kills: len(kills) >= len(truth))
        kills = self._ledger(pod)
        assert [(victim.pid, victim.comm) for kill in kills for victim in kill.victims] == truth
        assert [kill.processes for kill in kills] == [1] * len(truth)
        assert {(kill.outcome, kill.details_missing) for kill in kills} == {(Outcome.SURVIVED, False)}
        self.told("ProcessOOMKilled", pod)
        assert not self.node.events("ContainerOOMKilled", pod.name)
        assert len(self.by_kernel(pod)) == len(truth), "and that was all"
        return [pid for pid, _ in truth]

    def killed_together(self, pod: Pod) -> set[int]:
        """Pids of the processes that died in group kills, by the kernel's log: PID 1 of each start of the pod's container, and others.

        Not all others: some may have ended with PID 1 before the kernel came to them. Raises AssertionError if the agent doesn't record
        a group kill of each start, records a process that isn't in the kernel's log or that a container survived, or tells by an Event
        of another outcome. How many processes it counts is for test_kills.py.
        """
        truth = {(one.pid, one.comm) for one in self.by_kernel(pod)}
        ended = [instance for instance in self.starts(pod) if not instance.running]
        ids = {instance.container_id for instance in ended}
        self._wait_recorded(pod, lambda kills: {kill.container_id for kill in kills if kill.group_kill} == ids)
        kills = self._ledger(pod)
        assert {(victim.pid, victim.comm) for kill in kills for victim in kill.victims} <= truth
        assert {kill.outcome for kill in kills} == {Outcome.DIED}
        self.told("ContainerOOMKilled", pod)
        assert not self.node.events("ProcessOOMKilled", pod.name)
        pids = {pid for pid, _ in truth}
        assert {instance.pid for instance in ended} <= pids
        return pids

    def _wait_recorded(self, pod: Pod, enough: Callable[[list[OomKill]], bool]) -> None:
        """Until the agent has recorded enough, and the outcome of each kill."""

        def recorded() -> bool:
            kills = self._ledger(pod)
            return enough(kills) and all(kill.outcome is not None for kill in kills)

        self.node.agent.wait_for(recorded, SECONDS, f"kills of {pod.name} recorded")

    def _ledger(self, pod: Pod) -> list[OomKill]:
        """Oldest first."""
        reader = LedgerReader(self.node.work / "state")
        try:
            return reader.kills(pod=pod.name)[::-1]
        finally:
            reader.close()

    def kills(self, pod: Pod, mode: str) -> float:
        """Processes of the pod killed in this mode, as the agent's metrics have it."""
        return self.node.agent.total("oomward_oom_kills_total", pod=pod.name, mode=mode)

    def phase(self, pod: Pod) -> str:
        """As the API would show it."""
        status: Any = self.node.kubelet.status(pod)
        return str(status["status"]["phase"])

    def delete(self, pod: Pod) -> None:
        """End it; its ports and its memory are free again."""
        self.node.kubelet.delete_pod(pod)


def lab(work: Path) -> Iterator[Lab]:
    """Restarts come ten times as fast as a kubelet's: at once, then after 1 s, 2 s, 4 s."""
    node = make_node(work, "systemd", backoff_factor=0.1, systemd_writes=True)
    node.start_agent()
    yield Lab(node)
    node.close()


def gate(tmp_path: Path) -> Iterator[Gate]:
    """Where the process waits that is to take too much."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()
