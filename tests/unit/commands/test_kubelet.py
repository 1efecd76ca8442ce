"""The kubelet's singleProcessOOMKill is read from the files that its command line names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.commands.probes.kubelet import KubeletSetting, kubelet_setting

CONFIG = "/var/lib/kubelet/config.yaml"
POD = "kubepods-burstable-pod10000000_2000_3000_4000_500000000000.slice"
CONTAINER = f"{POD}/cri-containerd-{'ab' * 32}.scope"


class Kubelet:
    """A process kubelet in a /proc of ordinary files."""

    def __init__(self, proc: Path, pid: int = 812, cgroup: str = "/system.slice/kubelet.service") -> None:
        self.proc, self.process = proc, proc / str(pid)
        self.root = self.process / "root"
        (self.root / "var/lib/kubelet").mkdir(parents=True)
        self.arguments("--config", CONFIG)
        (self.process / "comm").write_text("kubelet\n")
        (self.process / "cgroup").write_text(f"0::{cgroup}\n")

    def arguments(self, *arguments: str) -> None:
        (self.process / "cmdline").write_text("\0".join(("/usr/bin/kubelet", *arguments, "")))

    def file(self, path: str, text: str) -> None:
        at = self.root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text)

    @property
    def setting(self) -> KubeletSetting:
        return kubelet_setting(self.proc)


@pytest.fixture
def kubelet(tmp_path: Path) -> Kubelet:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "comm").write_text("systemd\n")
    (tmp_path / "meminfo").write_text("")
    return Kubelet(tmp_path)


@pytest.mark.parametrize(
    "arguments", [("--config", CONFIG), (f"--config={CONFIG}", "--v=2"), ("--config=/none", "--config", CONFIG)]
)
def test_the_file_of_the_command_line_is_read(kubelet: Kubelet, arguments: tuple[str, ...]) -> None:
    kubelet.arguments(*arguments)
    kubelet.file(CONFIG, "kind: KubeletConfiguration\nsingleProcessOOMKill: true\n")
    assert kubelet.setting == KubeletSetting(True, CONFIG)


@pytest.mark.parametrize(
    "text", ["kind: KubeletConfiguration\n", "", '{"cgroupDriver": "systemd"}', "singleProcessOOMKill:\n"]
)
def test_a_file_that_does_not_set_it_means_false(kubelet: Kubelet, text: str) -> None:
    kubelet.file(CONFIG, text)
    assert kubelet.setting == KubeletSetting(False)


def test_without_a_file_it_is_false(kubelet: Kubelet) -> None:
    kubelet.arguments("--v=2")
    assert kubelet.setting == KubeletSetting(False)


def test_drop_ins_override_it_in_the_order_of_their_names(kubelet: Kubelet) -> None:
    kubelet.arguments("--config", CONFIG, "--config-dir=/etc/kubelet.d/")
    kubelet.file(CONFIG, "singleProcessOOMKill: false")
    kubelet.file("/etc/kubelet.d/20-b.conf", "singleProcessOOMKill: true")
    kubelet.file("/etc/kubelet.d/10-a.conf", "singleProcessOOMKill: false")
    kubelet.file("/etc/kubelet.d/30-c.conf", "maxPods: 200")
    kubelet.file("/etc/kubelet.d/40-d.yaml", "singleProcessOOMKill: false")
    assert kubelet.setting == KubeletSetting(True, "/etc/kubelet.d/20-b.conf")


@pytest.mark.parametrize("text", ["singleProcessOOMKill: maybe", "a: [", "\0", "[" * 5000, "- a list", "x" * (2 << 20)])
def test_a_file_that_cannot_be_understood_is_not_known_and_no_error(kubelet: Kubelet, text: str) -> None:
    kubelet.file(CONFIG, text)
    assert kubelet.setting.single_process is None
    assert "can't be read" in kubelet.setting.why


def test_a_file_that_is_not_visible_is_not_known(kubelet: Kubelet) -> None:
    assert kubelet.setting == KubeletSetting(
        None, why="the kubelet's configuration can't be read: No such file or directory"
    )


def test_a_relative_path_is_below_the_kubelets_own_directory(kubelet: Kubelet) -> None:
    kubelet.arguments("--config", "../kubelet/config.yaml")
    (kubelet.process / "cwd").symlink_to("/var/lib/other")
    kubelet.file(CONFIG, "singleProcessOOMKill: true")
    assert kubelet.setting.single_process is True


def test_without_a_kubelet_nothing_is_known(tmp_path: Path) -> None:
    assert kubelet_setting(tmp_path).why == "no process kubelet is visible here"
    assert kubelet_setting(tmp_path / "none").single_process is None


@pytest.mark.parametrize(
    "cgroup",
    [
        f"/kubepods.slice/kubepods-burstable.slice/{CONTAINER}",
        f"/kubepods.slice/kubepods-burstable.slice/{CONTAINER}/system.slice/kubelet.service",
        f"/../../{CONTAINER}",  # as the agent's container sees it: its own pod has the same QoS class
        f"/../../../kubepods-burstable.slice/{CONTAINER}",  # or another
    ],
)
def test_a_process_in_a_pod_is_not_the_kubelet_whatever_its_name(kubelet: Kubelet, cgroup: str) -> None:
    tenant = Kubelet(kubelet.proc, 99, cgroup)
    tenant.file(CONFIG, "singleProcessOOMKill: true")
    kubelet.file(CONFIG, "singleProcessOOMKill: false")
    assert kubelet.setting == KubeletSetting(False, CONFIG)


def test_where_only_pods_have_such_a_process_nothing_is_known(tmp_path: Path) -> None:
    tenant = Kubelet(tmp_path, 99, f"/kubepods.slice/kubepods-burstable.slice/{CONTAINER}")
    tenant.file(CONFIG, "singleProcessOOMKill: true")
    assert tenant.setting == KubeletSetting(None, why="no process kubelet is visible here but those in pods")


@pytest.mark.parametrize(
    "cgroup",
    [
        "/system.slice/kubelet.service",
        "/../../../../system.slice/kubelet.service",  # as the agent's container sees it
        "/kubelet.slice/kubelet.service",  # in a node of kind, which is a container
        f"/docker/{'ab' * 32}",  # RKE runs the kubelet itself in a container
        f"/../../../../system.slice/docker-{'ab' * 32}.scope",
        "/podruntime/kubelet",  # so does Talos
        "/",
    ],
)
def test_a_kubelet_of_the_node_is_found_wherever_it_runs(tmp_path: Path, cgroup: str) -> None:
    kubelet = Kubelet(tmp_path, cgroup=cgroup)
    kubelet.file(CONFIG, "singleProcessOOMKill: true")
    assert kubelet.setting == KubeletSetting(True, CONFIG)


def test_two_kubelets_with_different_settings_leave_it_unknown(kubelet: Kubelet) -> None:
    other = Kubelet(kubelet.proc, 4711)
    kubelet.file(CONFIG, "singleProcessOOMKill: true")
    other.file(CONFIG, "singleProcessOOMKill: true")
    assert kubelet.setting == KubeletSetting(True, CONFIG)
    other.file(CONFIG, "singleProcessOOMKill: false")
    assert kubelet.setting == KubeletSetting(None, why="2 processes kubelet are here, and their settings differ")


def test_a_file_that_would_wait_is_not_read(kubelet: Kubelet) -> None:
    os.mkfifo(kubelet.root / CONFIG.lstrip("/"))
    assert kubelet.setting == KubeletSetting(
        None, why="the kubelet's configuration can't be read: config.yaml is not a regular file"
    )


def test_a_link_leads_where_it_leads_on_the_node(kubelet: Kubelet, tmp_path: Path) -> None:
    ours = tmp_path / "ours.yaml"
    ours.write_text("singleProcessOOMKill: true")
    (kubelet.root / CONFIG.lstrip("/")).symlink_to(ours)  # absolute: not in our own root
    assert kubelet.setting.why.endswith("No such file or directory")
    kubelet.file(str(ours), "singleProcessOOMKill: false")
    assert kubelet.setting == KubeletSetting(False, CONFIG)


def test_a_folder_of_drop_ins_behind_a_link_is_that_of_the_node(kubelet: Kubelet, tmp_path: Path) -> None:
    kubelet.arguments("--config-dir=/etc/kubelet.d")
    ours = tmp_path / "ours.d"
    ours.mkdir()
    (ours / "10-a.conf").write_text("singleProcessOOMKill: true")
    (kubelet.root / "etc").mkdir()
    (kubelet.root / "etc/kubelet.d").symlink_to(ours)
    assert kubelet.setting.single_process is None


def test_a_link_to_itself_is_not_known_and_no_error(kubelet: Kubelet) -> None:
    (kubelet.root / CONFIG.lstrip("/")).symlink_to(CONFIG)
    assert "too many links" in kubelet.setting.why


def test_a_kubelet_that_ends_just_now_says_nothing(kubelet: Kubelet) -> None:
    (kubelet.process / "cmdline").write_text("")
    assert kubelet.setting.single_process is None


def test_a_name_that_is_not_utf_8_is_read(kubelet: Kubelet) -> None:
    name = os.fsdecode(b"/etc/kubelet-\xff.yaml")
    (kubelet.process / "cmdline").write_bytes(os.fsencode(f"kubelet\0--config={name}\0"))
    kubelet.file(name, "singleProcessOOMKill: true")
    assert kubelet.setting == KubeletSetting(True, name)
