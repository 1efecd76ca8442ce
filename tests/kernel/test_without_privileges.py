"""Each mount, namespace and capability of the agent's DaemonSet taken away: what breaks, and that nothing more is needed.

docs/security.md has the table of what was found here; tests/unit/docs/test_security_table.py holds it, the manifests and the
tests together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kernel.busy import gives_real_time
from tests.kernel.conftest import MODE
from tests.kernel.profiled import (
    ProfiledNode,
    a_kill_is_told,
    effective,
    make_profiled_node,
    messages,
    start,
    status,
    stays_as_the_kubelet_made_it,
)
from tests.lab import profiles
from tests.lab.agent_container import held
from tests.lab.kubelet import MOUNT
from tests.lab.profiles import Profile

FULL, LEAST = profiles.full(), profiles.least()
SOMEBODY = 100_000
LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProfiledNode]:
    """Where things are taken away, one at a time."""
    node = make_profiled_node(tmp_path_factory.mktemp("node"), "systemd", status_delay_s=0.3)
    yield node
    node.close()


# ------------------------------------------------------------------------------------------------------ the full profile


def test_the_full_profile_names_the_victim(node: ProfiledNode) -> None:
    agent = node.start(FULL)
    assert effective(agent) == int(LAST_CAPABILITY.read_text()) + 1 == len(held(FULL))
    assert status(agent)["Seccomp"] == "0"
    assert "OOM-killed worker (PID " in str(a_kill_is_told(node, "named")["note"])
    assert agent.total("oomward_kmsg_readable") == 1


# ------------------------------------------------------------------------------------------------------------- mounts


def test_without_the_cgroup_mount_there_is_no_container_to_be_found(node: ProfiledNode) -> None:
    agent = node.start(LEAST.without_mount("cgroup"), name="no-cgroup")
    stays_as_the_kubelet_made_it(node, "no-cgroup")
    checked = agent.oomward("check").stdout
    assert "no kubepods cgroup below /sys/fs/cgroup" in checked
    assert agent.total("oomward_oom_kills_total") == 0


def test_with_the_cgroup_mount_read_only_kills_are_counted_but_nothing_is_held(node: ProfiledNode) -> None:
    agent = node.start(LEAST.read_only("cgroup"), name="read-only")
    stays_as_the_kubelet_made_it(node, "read-only")
    agent.wait_for(lambda: node.events("OOMModeFailed", "read-only"), 60, "told")
    (event,) = node.events("OOMModeFailed", "read-only")
    assert "mount the host's /sys/fs/cgroup read-write" in event["note"]
    agent.wait_for(lambda: agent.total("oomward_oom_kills_total", pod="read-only") > 0, 60, "counted")


def test_without_kmsg_the_full_profile_counts_and_names_nobody(node: ProfiledNode) -> None:
    agent = node.start(FULL.without_mount("kmsg"), name="no-kmsg")
    assert "The process is not known" in str(a_kill_is_told(node, "no-kmsg")["note"])
    assert agent.total("oomward_kmsg_readable") == 0


def test_without_the_state_mount_what_happened_is_forgotten_at_the_next_start(node: ProfiledNode) -> None:
    without = LEAST.without_mount("state")
    agent = node.start(without, name="no-state")
    a_kill_is_told(node, "forgotten")
    assert "kills are kept in memory only and are lost at a restart" in messages(agent, "warning") + messages(
        agent, "error"
    )
    agent = node.start(without, name="no-state")
    assert agent.total("oomward_oom_kills_total", pod="forgotten") == 0


def test_without_the_socket_the_agent_waits_and_enforces_through_the_file(node: ProfiledNode) -> None:
    """The profile least-privilege mounts no directory for it."""
    agent = node.start(LEAST, name="no-socket")
    a_kill_is_told(node, "by-the-file")
    assert agent.total("oomward_nri_connected") == 0
    assert "there is no socket" in messages(agent, "info")


def test_without_the_config_mount_it_does_not_begin(node: ProfiledNode) -> None:
    agent = node.start(LEAST.without_mount("config"), name="no-config", ready=False)
    assert agent.process.wait(60) == 2
    assert "/etc/oomward/config.yaml" in agent.log_path.read_text()


def test_without_the_service_account_it_does_not_begin(node: ProfiledNode) -> None:
    agent = node.start(LEAST, name="no-token", ready=False, account=False)
    assert agent.process.wait(60) == 1
    assert "automountServiceAccountToken" in agent.log_path.read_text()


# --------------------------------------------------------------------------------------------------------- namespaces


def test_without_host_pid_check_warns_and_kills_are_told_all_the_same(node: ProfiledNode) -> None:
    """PIDs of containers read as 0 then; that a container died follows from its empty cgroup."""
    agent = node.start(LEAST.without_host_pid(), name="no-host-pid")
    start(node, "hidden")
    a_kill_is_told(node, "hidden-worker")
    died = start(node, "hidden-init", "eat", "0", "init", "5", "1000")
    node.kubelet.execute(died, "herd", "30", "0", "10000000", "10000")
    agent.wait_for(lambda: node.events("ContainerOOMKilled", "hidden-init"), 60, "told")
    checked = agent.oomward("check").stdout
    assert "have no PID here" in checked
    assert "hostPID: true" in checked
    agent = node.start(LEAST, name="host-pid")
    assert "have no PID here" not in agent.oomward("check").stdout


# ------------------------------------------------------------------------------------------------------- capabilities


def test_with_no_capability_at_all_it_still_holds_counts_and_tells(node: ProfiledNode) -> None:
    agent = node.start(LEAST.with_capabilities(), name="none")
    assert effective(agent) == 0
    a_kill_is_told(node, "no-capability")


def test_without_dac_override_check_cant_prove_the_knob(node: ProfiledNode) -> None:
    """The mount's top is nobody's to write (mode 0555), and check makes its own empty cgroup there."""
    agent = node.start(LEAST.with_capabilities("SYS_NICE"), name="check-without")
    assert "cannot be written in /sys/fs/cgroup: Permission denied" in agent.oomward("check").stdout
    agent = node.start(LEAST, name="check-with")
    assert "written and read back in a test cgroup" in agent.oomward("check").stdout


@pytest.mark.parametrize("name", ["DAC_OVERRIDE", None])
def test_without_dac_override_the_knob_of_a_pod_with_a_user_namespace_is_out_of_reach(
    node: ProfiledNode, name: str | None
) -> None:
    """Runtimes give the files of /sys/kernel/cgroup/delegate to such a pod's root; memory.oom.group is one of them."""
    assert "memory.oom.group" in Path("/sys/kernel/cgroup/delegate").read_text().split()
    pod = f"delegated-{(name or 'none').lower().replace('_', '-')}"
    instance = start(node, pod, asks=None)
    os.chown(MOUNT / instance.path / "memory.oom.group", SOMEBODY, SOMEBODY)
    agent = node.start(LEAST.with_capabilities(*([name] if name else [])), name=pod)
    node.kubelet.relabel(instance.pod, labels={MODE: "single"})
    if name is not None:
        agent.wait_for(lambda: node.knob(instance.path) == "0", 60, "held")
    else:
        agent.wait_for(lambda: node.events("OOMModeFailed", pod), 60, "told")
        assert node.knob(instance.path) == "1"


@pytest.mark.parametrize("names", [["SYS_NICE"], []], ids=["with", "without"])
def test_without_sys_nice_it_does_not_come_first(node: ProfiledNode, names: list[str]) -> None:
    """Nor on a kernel that keeps real time from cgroups, as 6.1 does."""
    comes_first = bool(names) and gives_real_time()
    agent = node.start(LEAST.with_capabilities(*names), name=f"nice{len(names)}")
    assert os.sched_getscheduler(agent.pid) == (os.SCHED_RR if comes_first else os.SCHED_OTHER)
    assert agent.total("oomward_realtime_priority_active") == comes_first
    assert ("capability SYS_NICE" in messages(agent, "warning")) is not comes_first


def test_who_does_not_want_real_time_has_a_nice_value(node: ProfiledNode) -> None:
    agent = node.start(LEAST, "--real-time", "false", name="nice")
    assert os.sched_getscheduler(agent.pid) == os.SCHED_OTHER
    assert os.getpriority(os.PRIO_PROCESS, agent.pid) == -15
    assert agent.total("oomward_realtime_priority_active") == 0


def test_kmsg_in_a_container_that_is_not_privileged_is_refused_by_the_device_cgroup(node: ProfiledNode) -> None:
    (kmsg,) = (mount for mount in FULL.mounts if mount.volume == "kmsg")
    agent = node.start(LEAST.with_mount(kmsg), name="device")
    assert "/dev/kmsg: Operation not permitted" in messages(agent, "warning")


def test_without_syslog_kmsg_is_refused_where_the_kernels_log_is_restricted(node: ProfiledNode) -> None:
    """Privileged brings CAP_SYSLOG along (CAP_SYS_ADMIN does as well); with that one more than the other profile it names victims."""
    restricted = Path("/proc/sys/kernel/dmesg_restrict")
    before = restricted.read_text()
    restricted.write_text("1")
    try:
        everything_else = held(FULL) - {"SYSLOG", "SYS_ADMIN"}
        agent = node.start(as_privileged(everything_else), name="no-syslog")
        assert "/dev/kmsg: Operation not permitted" in messages(agent, "warning")
        agent = node.start(as_privileged(frozenset({"SYSLOG", *(LEAST.capabilities or ())})), name="syslog")
        assert "OOM-killed worker (PID " in str(a_kill_is_told(node, "syslog")["note"])
    finally:
        restricted.write_text(before)


def as_privileged(capabilities: frozenset[str]) -> Profile:
    """The full profile with all devices, and these capabilities only."""
    return replace(FULL, capabilities=capabilities, all_devices=True)


# --------------------------------------------------------------------------------------------------------------- user


def test_as_another_user_than_root_nothing_can_be_held(node: ProfiledNode) -> None:
    agent = node.start(replace(LEAST, uid=65534, gid=65534), name="nobody")
    assert effective(agent) == 0, (
        "a program that is not root's has none of the capabilities that its container was given"
    )
    stays_as_the_kubelet_made_it(node, "nobody")
    agent.wait_for(lambda: node.events("OOMModeFailed", "nobody"), 60, "told")
