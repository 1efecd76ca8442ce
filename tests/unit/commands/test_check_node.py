"""check's probes of the node: kernel, roots, runtimes, containers, the values found, pids, the ledger."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from agent.commands import check
from agent.commands.probes import api, containers, kernel
from agent.commands.probes.checks import Status
from agent.commands.probes.kernel import _queue, _watches
from agent.kernel.limits import InotifyLimits, InotifyUse
from agent.kube.api import ApiCertificateError
from agent.ledger import Ledger
from agent.ledger.store import FILE
from tests.lab.apiserver import ApiServer
from tests.unit.cgroup.fakes import CONTAINER, POD, make, remove
from tests.unit.commands.checked_node import ID, MODE, CheckedNode, pod_json

UID2, ID2 = "2b4e28ba-2fa1-11d2-883f-0016d3cca427", "b" * 64
UID_ = "3b4e28ba_2fa1_11d2_883f_0016d3cca427"


@pytest.fixture
def node(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckedNode:
    return CheckedNode(tmp_path, api, monkeypatch)


def told(node: CheckedNode, name: str) -> tuple[Status, str]:
    found = node.told(name)
    return found.status, found.found


# ------------------------------------------------------------------------------------------------------------- kernel


@pytest.mark.parametrize(
    ("release", "status", "words"),
    [
        ("6.12.48+deb13-amd64", Status.PASS, r"Linux 6\.12\.48\+deb13-amd64$"),
        ("5.4.0-150-generic", Status.PASS, r"without oom_group_kill \(5.17\) and memory.peak \(5.19\)"),
        ("4.18.0-513.el8", Status.WARN, "is older than 4.19"),
        ("3.10.0", Status.WARN, "is older than 4.19"),
        ("mystery", Status.WARN, "has no version number"),
    ],
)
def test_a_kernel_is_told_by_what_it_lacks(release: str, status: Status, words: str, tmp_path: Path) -> None:
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/osrelease").write_text(release + "\n")
    (found,) = kernel.release(tmp_path)
    assert found.status is status
    assert re.search(words, found.found)


def test_without_the_kernels_log_the_names_of_victims_are_missing_and_that_is_said(node: CheckedNode) -> None:
    node.kmsg.unlink()
    status, found = told(node, "kernel log")
    assert status is Status.WARN
    assert "the killed processes are not known" in found
    assert node.told("kernel log").advice.startswith("Mount the host's /dev/kmsg")


def test_a_log_without_a_record_or_of_another_device_is_not_believed(node: CheckedNode) -> None:
    node.kmsg.write_bytes(b"")
    assert told(node, "kernel log")[0] is Status.WARN
    node.patch.undo()
    node.kmsg.write_bytes(b"6,1,100,-;somebody's own\n")
    (found,) = kernel.log(node.kmsg)
    assert (found.status, "not the kernel log device" in found.found) == (Status.WARN, True)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/urandom", "/tmp"])
def test_no_other_kind_of_file_is_a_log(path: str) -> None:
    (found,) = kernel.log(Path(path))
    assert (found.status, found.found.startswith(f"{path} is not the kernel log device")) == (Status.WARN, True)


def test_a_mistake_in_the_configuration_file_fails_its_check_and_no_other(node: CheckedNode, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("rules:\n- name: x\n  mode: sinlge\n")
    (found,) = check.configuration(config)
    assert (found.status, "config.yaml:3" in found.found, "ConfigMap" in found.advice) == (Status.FAIL, True, True)
    config.write_text("rules: []\n")
    assert [one.status for one in check.configuration(config)] == [Status.PASS]
    assert list(check.configuration(None)) == []


def test_a_certificate_that_is_not_accepted_is_no_matter_of_firewalls(
    node: CheckedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> str:
        raise ApiCertificateError("certificate verify failed: self-signed certificate in certificate chain")

    monkeypatch.setattr(api, "server_version", refuse)
    found = node.told("API")
    assert found.status is Status.FAIL
    assert "CA" in found.advice
    assert "firewall" not in found.advice


# ------------------------------------------------------------------------------------------------------------ cgroups


def test_the_driver_is_told_by_the_roots(node: CheckedNode) -> None:
    assert told(node, "kubepods roots") == (Status.PASS, "kubepods, cgroup driver cgroupfs")
    make(node.mount, "kubelet.slice/kubelet-kubepods.slice")
    assert told(node, "kubepods roots")[1].endswith("cgroup driver cgroupfs and systemd")


def test_a_node_without_kubepods_fails_with_both_reasons_it_can_have(node: CheckedNode) -> None:
    shutil.rmtree(node.mount / "kubepods")
    status, found = told(node, "kubepods roots")
    assert status is Status.FAIL
    assert "no kubelet runs pods here, or this is not the node's own cgroup tree" in found


def test_a_configured_root_that_is_not_there_fails_and_names_those_that_are(node: CheckedNode) -> None:
    node.options = {"cgroup_roots": "custom.slice/kubepods"}
    status, found = told(node, "kubepods roots")
    assert status is Status.FAIL
    assert found.endswith("; found instead: kubepods")


def test_containers_outside_of_kubepods_show_a_mismatch_of_drivers(node: CheckedNode) -> None:
    make(node.mount, f"system.slice/containerd.service/kubepods-pod{UID_}.slice:cri-containerd:{ID2}")
    status, found = told(node, "cgroup driver")
    assert (status, "1 container outside of kubepods" in found) == (Status.WARN, True)


def test_a_container_that_the_memory_controller_does_not_reach_fails(node: CheckedNode) -> None:
    (node.mount / CONTAINER / "memory.events").unlink()
    (node.mount / CONTAINER / "memory.events.local").unlink()
    status, found = told(node, "memory controller")
    assert status is Status.FAIL
    assert CONTAINER in found


def test_without_containers_the_roots_are_looked_at(node: CheckedNode) -> None:
    remove(node.mount, POD)
    assert told(node, "memory controller")[1].startswith("enabled at the kubepods roots")


def test_on_v1_single_is_by_nature_group_can_not_be_had_and_nothing_fails_for_it(node: CheckedNode) -> None:
    v1 = node.path / "v1"
    (v1 / "memory").mkdir(parents=True)
    (v1 / "memory/cgroup.procs").touch()
    place = make(v1 / "memory", CONTAINER, memory__oom_control="oom_kill 0\n", cgroup__procs="1\n")
    assert place.place.container_id == ID
    node.options = {"cgroup_mount": str(v1)}
    node.patch.setattr("agent.cgroup.mount._magic", lambda fd: 0x27E0EB)
    assert node.bad() == {"cgroup version": Status.WARN, "memory.oom.group": Status.WARN}
    assert "mode group is not available" in node.told("cgroup version").found
    assert "Nothing for mode single" in node.told("cgroup version").advice


# --------------------------------------------------------------------------------------------------------- containers


def test_runtimes_are_told_with_the_form_of_their_names(node: CheckedNode) -> None:
    systemd = f"kubepods.slice/kubepods-pod{UID_}.slice/crio-{ID2}.scope"
    make(node.mount, f"{systemd}/container")
    status, found = told(node, "runtimes")
    assert status is Status.PASS
    assert "1 of an unnamed runtime as <id>" in found
    assert "1 of cri-o as crio-<id>.scope; 1 with crun's own cgroup (container/)" in found


def test_no_container_is_a_warning_to_look_again(node: CheckedNode) -> None:
    remove(node.mount, POD)
    assert told(node, "runtimes")[0] is Status.WARN


def test_running_containers_without_a_cgroup_here_are_named(node: CheckedNode) -> None:
    node.server.put_pod(pod_json(uid=UID2, container_id=ID2))
    status, found = told(node, "containers")
    assert (status, found) == (Status.WARN, "1 of 2 running containers have no cgroup here: default/herder-2 herder")
    remove(node.mount, POD)
    assert told(node, "containers")[0] is Status.FAIL


def test_processes_without_a_pid_here_ask_for_host_pid(node: CheckedNode) -> None:
    (node.mount / CONTAINER / "cgroup.procs").write_text("0\n0\n")
    assert told(node, "pids")[0] is Status.WARN
    assert "hostPID: true" in node.told("pids").advice


def test_a_container_that_ends_while_it_is_looked_at_does_not_ask_for_host_pid(node: CheckedNode) -> None:
    (node.mount / CONTAINER / "cgroup.procs").write_text("")
    assert told(node, "pids")[0] is Status.PASS


@pytest.mark.parametrize(("first", "status"), [(True, Status.PASS), (False, Status.WARN), (None, Status.WARN)])
def test_without_containers_the_pid_namespace_tells(node: CheckedNode, first: bool | None, status: Status) -> None:
    remove(node.mount, POD)
    node.patch.setattr(containers, "is_first_pid_namespace", lambda: first)
    assert told(node, "pids")[0] is status


# -------------------------------------------------------------------------------------------------------------- modes


def test_ones_on_containers_that_nobody_asked_for_are_the_kubelets(node: CheckedNode) -> None:
    status, found = told(node, "kubelet")
    assert status is Status.PASS
    assert found.startswith("sets memory.oom.group=1 (default since 1.28), seen on 1 container")


def test_zeros_there_have_more_than_one_possible_cause(node: CheckedNode) -> None:
    (node.mount / CONTAINER / "memory.oom.group").write_text("0\n")
    status, found = told(node, "kubelet")
    assert status is Status.WARN
    assert "either singleProcessOOMKill is or was set, or the kubelet is older than 1.28, or systemd wrote 0" in found


def test_a_container_in_a_mode_that_was_asked_for_tells_nothing_of_the_kubelet(node: CheckedNode) -> None:
    node.container(UID2, ID2, "0\n", {MODE: "single"})
    assert told(node, "kubelet")[1].startswith("sets memory.oom.group=1 (default since 1.28), seen on 1 container")


def test_a_sandbox_tells_nothing_of_the_kubelet(node: CheckedNode) -> None:
    make(node.mount, f"{POD}/{'5' * 64}")
    assert told(node, "kubelet")[0] is Status.PASS


def test_where_both_are_the_odd_ones_are_named(node: CheckedNode) -> None:
    node.container(UID2, ID2, "0\n")
    status, found = told(node, "kubelet")
    assert status is Status.WARN
    assert found.startswith(
        "memory.oom.group is 0 on 1 of 2 containers without a requested mode (default/herder-2 herder)"
    )


@pytest.mark.parametrize("path", [POD, "kubepods/burstable", "kubepods"])
def test_a_1_above_a_container_in_mode_single_fails(node: CheckedNode, path: str) -> None:
    node.server.put_pod(pod_json({MODE: "single"}))
    (node.mount / path / "memory.oom.group").write_text("1\n")
    status, found = told(node, "ancestors")
    assert status is Status.FAIL
    assert f"is 1 at {path}: " in found
    assert "including 1 container in mode single" in found


def test_a_1_above_containers_of_which_none_is_single_is_a_warning(node: CheckedNode) -> None:
    (node.mount / "kubepods/memory.oom.group").write_text("1\n")
    assert told(node, "ancestors")[0] is Status.WARN


def test_a_1_above_the_kubepods_root_is_seen_too(node: CheckedNode) -> None:
    make(node.mount, f"custom.slice/kubepods/pod{UID2}/{ID2}")
    (node.mount / "custom.slice/memory.oom.group").write_text("1\n")
    node.server.put_pod(pod_json({MODE: "single"}, UID2, ID2))
    assert told(node, "ancestors")[0] is Status.FAIL


# ------------------------------------------------------------------------------------------------------------ inotify


@pytest.mark.parametrize(
    ("limit", "used", "refused", "status"),
    [
        (1000, 100, False, Status.PASS),
        (None, 100, False, Status.PASS),
        (150, 100, False, Status.WARN),
        (100, 100, True, Status.FAIL),
    ],
    ids=["room", "limit-unknown", "no-room-to-grow", "refused"],
)
def test_watches_are_held_against_their_limit(limit: int | None, used: int, refused: bool, status: Status) -> None:
    found = _watches(80, InotifyLimits(limit, 128, 16384), InotifyUse(used, 2), refused)
    assert found.status is status


def test_a_queue_shorter_than_one_rewrite_of_all_knobs_is_a_warning() -> None:
    assert [one.status for one in _queue(80, InotifyLimits(1, 1, 100))] == [Status.WARN]
    assert [one.status for one in _queue(80, InotifyLimits(1, 1, 16384))] == [Status.PASS]
    assert list(_queue(80, InotifyLimits(None, None, None))) == []


@pytest.mark.parametrize(
    ("need", "room", "text"),
    [
        (1, 1, "fs.inotify.max_queued_events is 1 for 1 watch: "),
        (2, 1, "fs.inotify.max_queued_events is 1 for 2 watches: "),
        (0, 1, "room for 1 event"),
        (0, 2, "room for 2 events"),
    ],
)
def test_a_queue_is_counted_in_events_and_watches(need: int, room: int, text: str) -> None:
    (found,) = _queue(need, InotifyLimits(1, 1, room))
    assert found.found.startswith(text)


# ------------------------------------------------------------------------------------------------------------- ledger


def test_no_ledger_yet_is_fine_where_one_can_be_begun(node: CheckedNode) -> None:
    assert told(node, "ledger")[1].startswith("none at")
    node.options = {"state_dir": str(node.path / "not/yet")}
    assert told(node, "ledger")[1].endswith(f"and its directory below {node.path}")
    assert not (node.path / "not").exists()


def test_a_ledger_that_is_there_is_read(node: CheckedNode) -> None:
    Ledger.open(node.state, "boot").close()
    assert told(node, "ledger") == (Status.PASS, f"{node.state / FILE} can be read and written")


def test_a_damaged_ledger_is_told_and_left_where_it_is(node: CheckedNode) -> None:
    (node.state / FILE).write_bytes(b"no database" * 1000)
    assert told(node, "ledger")[0] is Status.WARN
    assert (node.state / FILE).exists()


def test_a_state_directory_that_is_none_or_can_not_be_written_means_memory_only(node: CheckedNode) -> None:
    node.options = {"state_dir": str(node.kmsg / "below")}
    assert "kept in memory only" in told(node, "ledger")[1]
    node.options = {}
    node.patch.setattr("os.access", lambda path, mode: False)
    assert told(node, "ledger")[1].startswith(f"{node.state} is not writable")


def test_a_disk_that_is_nearly_full_is_told(node: CheckedNode) -> None:
    node.patch.setattr("agent.commands.probes.ledger._free_bytes", lambda place: 3 << 20)
    assert told(node, "ledger")[1].startswith(f"3 MiB free at {node.state}")
