"""check: one answer for each prerequisite, a mend for each that isn't met, and no trouble that keeps the others from being told."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import NoReturn

import pytest
from inotify_simple import INotify

from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import Hierarchy
from agent.commands import EXIT_FAILED, EXIT_OK
from agent.commands.output.table import Output
from agent.commands.probes import cgroups
from agent.commands.probes.checks import Status, explained
from agent.kernel import scheduling
from agent.kernel.scheduling import SchedulingClass
from agent.ledger import AgentLock, Ledger
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.cgroup.fakes import CONTAINER
from tests.unit.commands.checked_node import MODE, CheckedNode, pod_json

INOTIFY = "agent.cgroup.watches.INotify"
EVERY = [
    "kernel", "cgroup version", "memory.oom.group", "kubepods roots", "memory controller", "runtimes", "pods", "containers", "kubelet",
    "OOMPolicy", "ancestors", "pids", "inotify instances", "inotify watches", "inotify queue", "scheduling", "NRI", "kernel log",
    "ledger", "API", "RBAC list pods", "RBAC watch pods", "RBAC create events", "RBAC patch events",
]  # fmt: skip


@pytest.fixture
def node(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckedNode:
    return CheckedNode(tmp_path, api, monkeypatch)


def refuse(code: int) -> NoReturn:
    raise OSError(code, os.strerror(code))


def test_a_node_that_is_well_passes_every_check_and_ends_with_0(node: CheckedNode) -> None:
    assert [one.name for one in node.checks()] == EVERY
    assert node.bad() == {}
    code, text = node.run()
    assert code == EXIT_OK
    assert text.endswith(f"\n{len(EVERY)} pass.\n")


def test_nothing_is_left_behind_and_no_container_is_written_to(node: CheckedNode) -> None:
    before = sorted((str(path), path.stat().st_mtime_ns) for path in node.path.rglob("*") if path.is_file())
    node.checks()
    assert before == sorted((str(path), path.stat().st_mtime_ns) for path in node.path.rglob("*") if path.is_file())


def test_json_has_name_status_what_was_found_and_the_mend(node: CheckedNode) -> None:
    node.server.denied = {("watch", "pods")}
    code, text = node.run(Output.JSON)
    rows = {row["name"]: row for row in json.loads(text)["checks"]}
    assert code == EXIT_FAILED
    assert rows["RBAC watch pods"]["status"] == "fail"
    assert "no RBAC policy matched" in rows["RBAC watch pods"]["found"]
    assert "verbs: ['watch']" in rows["RBAC watch pods"]["advice"]
    assert rows["kernel"]["advice"] == ""


def test_a_mount_that_counts_each_cgroup_alone_is_not_supported(node: CheckedNode) -> None:
    hierarchy = Hierarchy("v2", node.mount, hybrid=False, local_events=True)
    (one,) = cgroups.version(hierarchy)
    assert one.status is Status.WARN
    assert "memory_localevents, which is not supported" in one.found
    assert "remount" in one.advice


def test_a_warning_is_no_failure(node: CheckedNode) -> None:
    node.kmsg.unlink()
    code, text = node.run()
    assert code == EXIT_OK
    assert "1 warn, " in text


def test_whatever_is_not_well_has_a_mend_and_what_is_well_has_none(node: CheckedNode) -> None:
    node.server.close()
    node.kmsg.unlink()
    (node.mount / CONTAINER / "memory.events").unlink()
    node.patch.setattr(node, "state", node.kmsg / "below")
    for one in node.checks():
        assert bool(one.advice) is (one.status is not Status.PASS), one


# ------------------------------------------------------------------------------------------- one trouble, one answer


def test_without_the_api_the_node_itself_is_checked_all_the_same(node: CheckedNode) -> None:
    node.server.close()
    assert node.bad() == {"API": Status.FAIL, "RBAC": Status.WARN, "kubelet": Status.WARN}


def test_without_any_cgroups_the_rest_is_told(node: CheckedNode) -> None:
    node.options = {"cgroup_mount": str(node.path / "nowhere")}
    assert node.bad() == {"cgroup version": Status.FAIL, "containers": Status.FAIL}
    assert "--cgroup-mount" in node.told("containers").found


def test_a_mount_that_is_no_cgroup_file_system_is_a_failed_check(node: CheckedNode) -> None:
    node.patch.setattr("agent.cgroup.mount._magic", lambda fd: 0xEF53)
    assert node.bad() == {"memory.oom.group": Status.FAIL, "containers": Status.FAIL}


def test_a_probe_that_raises_is_its_own_failed_check(node: CheckedNode) -> None:
    node.patch.setattr(CgroupFiles, "read_oom_group", lambda self, cgroup: refuse(errno.EACCES))
    assert node.bad() == {"kubelet": Status.FAIL, "ancestors": Status.FAIL}
    assert "Run as root" in node.told("ancestors").advice


def test_a_control_file_with_nonsense_in_it_is_a_failed_check_too(node: CheckedNode) -> None:
    (node.mount / CONTAINER / "memory.oom.group").write_text("maybe\n")
    assert node.told("kubelet").status is Status.FAIL
    assert "maybe" in node.told("kubelet").found


def test_it_works_beside_a_running_agent(node: CheckedNode) -> None:
    with AgentLock(node.state, "node-1"):
        ledger = Ledger.open(node.state, "boot")
        assert node.bad() == {}
        ledger.close()


def test_errors_are_explained_by_what_they_are() -> None:
    assert explained(OSError(errno.EROFS, "Read-only file system"))[1] == "Mount it read-write into the container."
    assert explained(OSError(errno.EIO, "Input/output error"))[1].startswith("Do what the message says")


# ---------------------------------------------------------------------------------------------------------------- API


def test_each_verb_that_is_denied_is_a_failure_of_its_own(node: CheckedNode) -> None:
    node.server.denied = {("list", "pods"), ("patch", "events")}
    assert node.bad() == {"RBAC list pods": Status.FAIL, "RBAC patch events": Status.FAIL}
    assert "apiGroups: ['events.k8s.io'], resources: ['events']" in node.told("RBAC patch events").advice


def test_credentials_that_are_not_accepted_are_named_as_the_cause(node: CheckedNode) -> None:
    node.server.token = "another"
    assert "credentials" in node.told("API").advice
    assert node.bad()["API"] is Status.FAIL


def test_no_way_to_the_api_is_a_failure_that_names_both_ways(node: CheckedNode) -> None:
    node.options = {"kubeconfig": str(node.path / "nowhere")}
    assert node.bad()["API"] is Status.FAIL
    assert "--kubeconfig" in node.told("API").advice
    assert "service account" in node.told("API").advice


def test_an_api_that_keeps_its_version_for_itself_answers_all_the_same(node: CheckedNode) -> None:
    node.server.faults.add(Fault(How.STATUS, times=None, path="/version", status=403, reason="Forbidden", message="no"))
    assert node.told("API").status is Status.PASS


def test_an_api_in_trouble_is_a_failure(node: CheckedNode) -> None:
    node.server.faults.add(
        Fault(How.STATUS, times=None, path="/version", status=503, reason="ServiceUnavailable", message="soon")
    )
    assert node.told("API").status is Status.FAIL


def test_where_asking_is_forbidden_that_is_said(node: CheckedNode) -> None:
    node.server.faults.add(
        Fault(How.STATUS, times=None, path="/apis/authorization", status=403, reason="Forbidden", message="no")
    )
    assert "system:basic-user" in node.told("RBAC list pods").advice
    assert len(node.bad()) == 4


def test_an_api_that_falls_silent_is_not_waited_for_at_every_verb(node: CheckedNode) -> None:
    node.server.faults.add(Fault(How.CLOSE, times=None, path="/apis/authorization"))
    assert [one.name for one in node.checks() if one.name.startswith("RBAC")] == ["RBAC list pods"]
    assert node.bad() == {"RBAC list pods": Status.FAIL}


def test_a_wrong_node_name_shows_as_a_node_without_pods(node: CheckedNode) -> None:
    node.options = {"node_name": "node-2"}
    assert node.bad()["pods"] is Status.WARN
    assert "'node-2'" in node.told("pods").found


def test_pods_that_can_not_be_listed_are_a_failure_with_the_apis_words(node: CheckedNode) -> None:
    node.server.faults.add(
        Fault(How.STATUS, times=None, path="/api/v1/pods", status=403, reason="Forbidden", message="no lists")
    )
    assert node.told("pods").status is Status.FAIL
    assert "no lists" in node.told("pods").found


def test_a_pod_that_can_not_be_read_is_named(node: CheckedNode) -> None:
    broken = pod_json(uid="f", container_id="f" * 64)
    broken["spec"]["containers"] = "none"
    node.server.put_pod(broken)
    found = node.told("pods")
    assert (found.status, "herder-f" in found.found) == (Status.WARN, True)


# ------------------------------------------------------------------------------------------------------------ inotify


def test_a_node_without_an_inotify_instance_left_names_the_sysctl(node: CheckedNode) -> None:
    node.patch.setattr(INOTIFY, lambda nonblocking: refuse(errno.EMFILE))
    found = node.told("inotify instances")
    assert found.status is Status.FAIL
    assert "fs.inotify.max_user_instances" in found.advice


def test_the_last_instance_taken_by_the_agent_itself_leaves_none(node: CheckedNode) -> None:
    made: list[INotify] = []

    def second_refused(nonblocking: bool) -> INotify:
        if made:
            refuse(errno.EMFILE)
        made.append(INotify(nonblocking=nonblocking))
        return made[0]

    node.patch.setattr(INOTIFY, second_refused)
    found = node.told("inotify instances")
    assert (found.status, "max_user_instances" in found.advice) == (Status.FAIL, True)


def test_a_watch_limit_that_is_reached_names_the_sysctl(node: CheckedNode) -> None:
    class NoneLeft(INotify):  # type: ignore[misc]
        def add_watch(self, path: str, mask: int) -> int:
            refuse(errno.ENOSPC)

    node.patch.setattr(INOTIFY, NoneLeft)
    found = node.told("inotify watches")
    assert found.status is Status.FAIL
    assert "sysctl -w fs.inotify.max_user_watches" in found.advice


# --------------------------------------------------------------------------------------------------------------- knob


def test_a_knob_that_can_not_be_written_is_a_failure(node: CheckedNode) -> None:
    node.patch.setattr("agent.cgroup.proof._make", lambda top, name: refuse(errno.EROFS))
    found = node.told("memory.oom.group")
    assert (found.status, "Read-only file system" in found.found) == (Status.FAIL, True)
    assert "spc_t" in found.advice


def test_a_mount_that_hands_no_memory_controller_down_is_a_failure(node: CheckedNode) -> None:
    (node.mount / "cgroup.subtree_control").write_text("cpu\n")
    node.patch.setattr("agent.cgroup.proof._make", lambda top, name: (node.mount / name).mkdir())
    found = node.told("memory.oom.group")
    assert found.status is Status.FAIL
    assert "cgroup.subtree_control: cpu" in found.found


def test_a_knob_that_does_not_keep_its_value_is_a_failure(node: CheckedNode) -> None:
    node.patch.setattr("os.pwrite", lambda fd, data, at: len(data))
    assert (
        node.told("memory.oom.group").status,
        "program that writes it too" in node.told("memory.oom.group").advice,
    ) == (Status.FAIL, True)


def test_a_cgroup_that_can_not_be_removed_again_is_told(node: CheckedNode) -> None:
    node.patch.setattr("agent.cgroup.proof._remove", lambda top, name: refuse(errno.EBUSY))
    assert (node.told("memory.oom.group").status, "rmdir" in node.told("memory.oom.group").advice) == (
        Status.WARN,
        True,
    )


def test_no_process_is_put_into_the_cgroup_of_the_proof(node: CheckedNode) -> None:
    written: list[str] = []
    node.patch.setattr("agent.cgroup.proof._remove", lambda top, name: written.append(procs(node.mount / name)))
    next(iter(cgroups.oom_group(Hierarchy("v2", node.mount, hybrid=False, local_events=False))))
    assert written == [""]


def procs(cgroup: Path) -> str:
    return (cgroup / "cgroup.procs").read_text()


def test_labels_are_read_as_the_agent_reads_them(node: CheckedNode) -> None:
    node.server.put_pod(pod_json({MODE: "single"}))
    assert node.told("kubelet").status is Status.WARN


def test_a_node_on_which_the_agent_cannot_come_first_is_a_warning_with_what_to_do(
    node: CheckedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "raise_priority", lambda: SchedulingClass.NICE)
    one = node.told("scheduling")
    assert one.status is Status.WARN
    assert "a mode may come into force after a container's first instruction" in one.found
    assert "capability SYS_NICE" in one.advice


def test_the_check_itself_does_not_go_on_coming_first(node: CheckedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    back: list[bool] = []
    monkeypatch.setattr(scheduling, "suspend_real_time", lambda: back.append(True))
    assert node.told("scheduling").status is Status.PASS
    assert back
