"""oom-policy: the drop-in for the runtimes of this node, what check, explain and ps say about OOMPolicy, and the kubelet's own setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from agent.cli import main
from agent.commands import EXIT_FAILED, EXIT_OK
from agent.commands.explain import explain
from agent.commands.oom_policy import oom_policy
from agent.commands.output.table import Output
from agent.commands.probes import containers, systemd
from agent.commands.probes.checks import Check, Status
from agent.commands.probes.kubelet import KubeletSetting
from agent.commands.ps import ps
from agent.commands.survey import survey
from agent.runtime import oom_policy as reader
from agent.runtime.drop_in import NoSystemdError
from tests.unit.cgroup.fakes import make
from tests.unit.commands.world import CONTAINER, ID, MODE, LookedAtNode, pod_json
from tests.unit.runtime.world import DELEGATED, FOLDER, KILL, SCOPE, SystemdNode

POD_SLICE = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b4e28ba_2fa1_11d2_883f_0016d3cca427.slice"
IN_SCOPE = f"{POD_SLICE}/{SCOPE}"


@pytest.fixture
def on_systemd(node: LookedAtNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SystemdNode:
    """The node's container is in a scope, and the node's files are those of a SystemdNode."""
    (node.mount / CONTAINER).rename(node.mount / "elsewhere")
    make(node.mount, POD_SLICE)
    node.container(IN_SCOPE, knob=0, limit=256)
    found = SystemdNode(tmp_path / "systemd", monkeypatch)
    monkeypatch.setattr(reader, "node_root", lambda *_: (found.root, True))
    return found


def run(
    node: LookedAtNode, action: str, reload: Callable[[], bool] = lambda: True, output: Output = Output.JSON
) -> tuple[int, str]:
    file = StringIO()
    code = oom_policy(node.settings, action, output, file, reload=reload, wait=lambda _: None)
    return code, file.getvalue()


def rows(page: str) -> dict[str, str]:
    return {one["prefix"]: one["state"] for one in json.loads(page)["drop_ins"]}


def reloading(systemd_node: SystemdNode) -> Callable[[], bool]:
    def reload() -> bool:
        systemd_node.reload()
        return True

    return reload


def test_install_is_for_the_runtimes_of_this_node_and_is_in_force_when_it_ends(
    node: LookedAtNode, on_systemd: SystemdNode
) -> None:
    code, page = run(node, "install", reloading(on_systemd))
    assert (code, rows(page)) == (EXIT_OK, {"cri-containerd": "installed"})
    assert (on_systemd.root / FOLDER.lstrip("/") / "10-oomward.conf").exists()
    code, page = run(node, "show")
    assert (code, rows(page)) == (EXIT_OK, {"cri-containerd": "installed"})
    code, page = run(node, "remove", reloading(on_systemd))
    assert (code, rows(page)) == (EXIT_OK, {"cri-containerd": "absent"})
    assert not (on_systemd.root / FOLDER.lstrip("/")).exists()


def test_without_a_container_it_is_for_containerd_and_cri_o(node: LookedAtNode, on_systemd: SystemdNode) -> None:
    node.options["cgroup_mount"] = str(node.path / "none")
    assert rows(run(node, "install", reloading(on_systemd))[1]) == {"cri-containerd": "installed", "crio": "installed"}


def test_remove_also_finds_those_of_runtimes_that_run_nothing_now(node: LookedAtNode, on_systemd: SystemdNode) -> None:
    node.options["cgroup_mount"] = str(node.path / "none")
    run(node, "install", reloading(on_systemd))
    del node.options["cgroup_mount"]
    assert rows(run(node, "remove", reloading(on_systemd))[1]) == {"cri-containerd": "absent", "crio": "absent"}


def test_installed_twice_systemd_is_not_asked_again(node: LookedAtNode, on_systemd: SystemdNode) -> None:
    run(node, "install", reloading(on_systemd))
    code, _ = run(node, "install", lambda: pytest.fail("a reload has a cost"))
    assert code == EXIT_OK


def test_if_systemd_cannot_be_asked_the_command_fails_and_says_what_to_do(
    node: LookedAtNode, on_systemd: SystemdNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(node, "install", lambda: False)[0] == EXIT_FAILED
    assert "systemctl daemon-reload" in capsys.readouterr().err
    assert run(node, "remove", lambda: True)[0] == EXIT_FAILED, "asked, but it never read its files"


def test_without_systemd_it_refuses(node: LookedAtNode, on_systemd: SystemdNode) -> None:
    (on_systemd.root / "run/systemd/system").rmdir()
    for action in ("install", "remove", "show"):
        with pytest.raises(NoSystemdError):
            run(node, action)


def test_the_command_line_needs_no_node_name(on_systemd: SystemdNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["oom-policy", "show", "--cgroup-mount", "/none"]) == EXIT_OK
    assert "not installed" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------- what is shown


def explained(node: LookedAtNode, output: Output) -> str:
    file = StringIO()
    explain(node.settings, "herder-1", output, file)
    return file.getvalue()


def test_explain_shows_the_policy_the_file_and_what_it_means(node: LookedAtNode, on_systemd: SystemdNode) -> None:
    on_systemd.start(KILL)
    page = explained(node, Output.TABLE)
    assert (
        f"systemd has OOMPolicy=kill for its scope (/run/systemd/transient/{SCOPE}): after an OOM kill, systemd stops"
        in page
    )
    (one,) = json.loads(explained(node, Output.JSON))["pods"][0]["containers"]
    assert (one["systemd"]["oom_policy"], one["systemd"]["stops_survivors"]) == ("kill", True)


def test_ps_has_the_policy_in_json_only_where_there_is_a_scope(node: LookedAtNode, on_systemd: SystemdNode) -> None:
    def policies() -> list[str | None]:
        file = StringIO()
        ps(node.settings, Output.JSON, file, watch_s=None)
        return [one.get("oom_policy") for one in json.loads(file.getvalue())["containers"]]

    assert policies() == [None]
    on_systemd.start(DELEGATED)
    assert policies() == ["continue"]


def checked(node: LookedAtNode) -> Check:
    with survey(node.settings) as found:
        (one,) = systemd.oom_policy(found)
    return one


@pytest.mark.parametrize(
    ("unit", "mode", "status", "text"),
    [
        (
            DELEGATED,
            "single",
            Status.PASS,
            "1 scope of containers: 1 with continue of systemd 257; oomward's drop-in is not installed",
        ),
        (KILL, "single", Status.FAIL, "systemd stops 1 container in mode single after an OOM kill"),
        (KILL, "group", Status.WARN, "No container in mode single is affected now"),
        (None, "single", Status.WARN, "the unit files of 1 scope are not visible"),
    ],
)
def test_check_says_what_the_policies_mean_for_single(
    node: LookedAtNode, on_systemd: SystemdNode, unit: str | None, mode: str, status: Status, text: str
) -> None:
    if unit is not None:
        on_systemd.start(unit)
    node.server.put_pod(pod_json(labels={MODE: mode}))
    found = checked(node)
    assert found.status is status
    assert text in found.found
    assert bool(found.advice) is (status is not Status.PASS)


def test_check_names_the_drop_in_and_one_that_systemd_has_not_read(node: LookedAtNode, on_systemd: SystemdNode) -> None:
    on_systemd.start(KILL)
    node.server.put_pod(pod_json(labels={MODE: "single"}))
    on_systemd.write(f"{FOLDER}/10-oomward.conf", "# Written by oomward.\n[Scope]\nOOMPolicy=continue\n")
    found = checked(node)
    assert found.status is Status.FAIL
    assert "systemctl daemon-reload" in found.advice
    on_systemd.reload()
    found = checked(node)
    assert found.status is Status.PASS
    assert "oomward's drop-in is installed for cri-containerd" in found.found


def test_check_has_nothing_to_say_with_cgroupfs_or_on_v1(node: LookedAtNode) -> None:
    assert "no container runs in a systemd scope" in checked(node).found
    node.to_v1()
    assert checked(node).status is Status.PASS


# --------------------------------------------------------------------------------------------------------- the kubelet

UNKNOWN = KubeletSetting(None, why="no process kubelet is visible here")
TRUE, UNSET = KubeletSetting(True, "/var/lib/kubelet/config.yaml"), KubeletSetting(False)
FALSE = KubeletSetting(False, "/var/lib/kubelet/config.yaml")


@pytest.mark.parametrize(
    ("setting", "knob", "status", "text"),
    [
        (UNKNOWN, 1, Status.PASS, "sets memory.oom.group=1 (default since 1.28)"),
        (
            UNKNOWN,
            0,
            Status.WARN,
            "either singleProcessOOMKill is or was set, or the kubelet is older than 1.28, or systemd wrote 0",
        ),
        (TRUE, 0, Status.PASS, "singleProcessOOMKill is true in /var/lib/kubelet/config.yaml"),
        (
            UNSET,
            0,
            Status.WARN,
            "singleProcessOOMKill is not set in the kubelet's configuration, but memory.oom.group is 0 on 1 of 1",
        ),
        (
            FALSE,
            0,
            Status.WARN,
            "singleProcessOOMKill is false in /var/lib/kubelet/config.yaml, but memory.oom.group is 0",
        ),
        (UNSET, 1, Status.PASS, "sets memory.oom.group=1 (default since 1.28)"),
    ],
)
def test_check_tells_the_kubelets_setting_from_values_that_systemd_reset(
    node: LookedAtNode, setting: KubeletSetting, knob: int, status: Status, text: str
) -> None:
    node.write(f"{CONTAINER}/memory.oom.group", f"{knob}\n")
    with survey(node.settings) as found:
        (one,) = containers.kubelet(found, lambda: setting)
    assert one.status is status
    assert text in one.found


def test_without_a_container_to_look_at_only_the_configuration_counts(node: LookedAtNode) -> None:
    node.server.put_pod(pod_json(labels={MODE: "single"}))
    with survey(node.settings) as found:
        (known,) = containers.kubelet(found, lambda: UNSET)
        (unknown,) = containers.kubelet(found, lambda: UNKNOWN)
    assert (known.status, unknown.status) == (Status.PASS, Status.WARN)
    assert ID not in known.found
