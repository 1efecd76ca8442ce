"""Workloads that work against the agent on a real kernel: by their own cgroup's files, and by lines in the kernel's log."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.ledger import LedgerReader
from agent.model import OomKill
from tests.kernel.conftest import MODE, Node, make_node
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import Container, Folder, Pod, Program

KNOB = "/sys/fs/cgroup/memory.oom.group"  # the container's own, by its cgroup namespace
REWRITE = f"while :; do echo 1 > {KNOB} || exit 3; done"
SOMEBODY = 1000
FAKES = (
    "<3>Memory cgroup out of memory: Killed process 1 (systemd) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, "
    "UID:0 pgtables:0kB oom_score_adj:0",
    "<6>oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/{0},task_memcg=/{0},task=fake,pid=1,uid=0",
    "<6>Tasks in /{0} are going to be killed due to memory.oom.group set",
    "<6>0,1,2,-;Out of memory: Killed process 1 (fake)",
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "cgroupfs", status_delay_s=0.3)
    node.start_agent()
    yield node
    node.close()


def shell(name: str, script: str, *folders: Folder, uid: int = 0) -> Pod:
    """A pod that asks for single and whose PID 1 is a shell."""
    program = Program(("/bin/sh", "-c", script), folders=folders, uid=uid, gid=uid)
    return Pod(name, (Container("main", (), 64, program=program),), labels={MODE: "single"}, restart_policy="Never")


@pytest.mark.parametrize("uid", [0, SOMEBODY], ids=["root of its container", "the knob's owner"])
def test_a_pod_that_rewrites_its_own_knob_is_met_slowly_and_told_of_and_others_are_held_as_ever(
    node: Node, uid: int
) -> None:
    """Where its cgroup is mounted read-write: by its root, or by somebody whom delegation has given the file (chown)."""
    wait = "" if uid == 0 else f"until [ -w {KNOB} ]; do sleep 0.1; done; "
    (instance,) = node.kubelet.run_pod(shell(f"rewriter-{uid}", wait + REWRITE, uid=uid))
    (neighbour,) = node.kubelet.run_pod(
        Pod(f"neighbour-{uid}", (Container("main", ("pause",)),), labels={MODE: "single"})
    )
    if uid:
        os.chown(MOUNT / instance.path / "memory.oom.group", uid, uid)
    fights = node.agent.total("oomward_write_conflicts_total")
    node.agent.wait_for(lambda: node.events("OOMModeFailed", instance.pod.name), 60, "told")
    began, writes = time.monotonic(), node.agent.total("oomward_oom_group_writes_total", outcome="written")
    time.sleep(5)
    (MOUNT / neighbour.path / "memory.oom.group").write_text("1")
    node.agent.wait_for(lambda: node.knob(neighbour.path) == "0", 60, "the neighbour is held")
    conflicts = node.agent.total("oomward_oom_group_writes_total", outcome="conflict")
    written = node.agent.total("oomward_oom_group_writes_total", outcome="written") - writes
    assert written <= (time.monotonic() - began) + 4, "one repair a second, and the neighbour's"
    assert node.agent.total("oomward_write_conflicts_total") <= fights + 1
    assert conflicts < 100
    assert instance.running, "it could write all the time"
    (event,) = node.events("OOMModeFailed", instance.pod.name)
    assert "keeps rewriting" in event["note"]
    assert node.agent.get("/healthz")[0] == 200
    node.kubelet.delete_pod(instance.pod)


def test_lines_that_a_container_writes_to_the_kernels_log_are_counted_and_not_believed(
    node: Node, tmp_path: Path
) -> None:
    """A privileged one, with the host's devices. The kernel stamps what user space writes with another facility than its own."""
    (victim,) = node.kubelet.run_pod(Pod("framed", (Container("main", ("pause",)),), labels={MODE: "single"}))
    lines = tmp_path / "lines"
    lines.mkdir()
    (lines / "fakes").write_text("".join(line.format(victim.path) + "\n" for line in FAKES))
    script = 'while read -r line; do echo "$line" > /hostdev/kmsg || exit 4; done < /lines/fakes; exec sleep 1000'
    before = node.agent.total("oomward_kmsg_foreign_records_total")
    (liar,) = node.kubelet.run_pod(
        shell("liar", script, Folder("/hostdev", "/dev", writable=True), Folder("/lines", str(lines)))
    )
    node.agent.wait_for(
        lambda: node.agent.total("oomward_kmsg_foreign_records_total") >= before + len(FAKES), 60, "counted"
    )
    assert liar.running, "it was allowed to write"
    time.sleep(2)
    assert kills(node) == []
    assert node.agent.total("oomward_oom_kills_total") == 0
    assert memory_events(victim.path)["oom_kill"] == 0
    assert not node.events("ProcessOOMKilled", "framed") + node.events("ContainerOOMKilled", "framed")


def test_a_real_kill_amid_such_lines_is_the_right_ones(node: Node, tmp_path: Path) -> None:
    (framed,) = node.kubelet.run_pod(Pod("framed-too", (Container("main", ("pause",)),), labels={MODE: "single"}))
    lines = tmp_path / "lines"
    lines.mkdir()
    (lines / "fakes").write_text("".join(line.format(framed.path) + "\n" for line in FAKES))
    script = 'while :; do while read -r line; do echo "$line" > /hostdev/kmsg; done < /lines/fakes; sleep 0.01; done'
    folders = Folder("/hostdev", "/dev", writable=True), Folder("/lines", str(lines))
    node.kubelet.run_pod(shell("liar-too", script, *folders))
    before = node.agent.total("oomward_kmsg_foreign_records_total")
    node.agent.wait_for(lambda: node.agent.total("oomward_kmsg_foreign_records_total") > before + 20, 60, "lied")
    (instance,) = node.kubelet.run_pod(
        Pod("real", (Container("main", ("family", "2", "0", "2")),), labels={MODE: "single"})
    )
    node.agent.wait_for(lambda: kills(node), 60, "recorded")
    time.sleep(2)
    found = kills(node)
    assert {kill.pod for kill in found} == {"real"}
    assert sum(kill.processes for kill in found) == memory_events(instance.path)["oom_kill"]
    named = {victim.comm for kill in found for victim in kill.victims}
    assert named <= {"worker", "helper"}, "and never the one that the lines speak of"


def kills(node: Node) -> list[OomKill]:
    reader = LedgerReader(node.work / "state")
    found = reader.kills(limit=1000)
    reader.close()
    return found
