"""The kubelet's singleProcessOOMKill is read from the files that its command line names."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.settings.kubelet import KubeletSetting, kubelet_setting

CONFIG = "/var/lib/kubelet/config.yaml"


class Kubelet:
    """A process kubelet in a /proc of ordinary files."""

    def __init__(self, proc: Path) -> None:
        self.proc, self.process = proc, proc / "812"
        self.root = self.process / "root"
        (self.root / "var/lib/kubelet").mkdir(parents=True)
        self.arguments("--config", CONFIG)
        (self.process / "comm").write_text("kubelet\n")
        (proc / "1").mkdir()
        (proc / "1" / "comm").write_text("systemd\n")
        (proc / "meminfo").write_text("")

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
    kubelet.arguments("--config", "config.yaml")
    (kubelet.process / "cwd").mkdir()
    (kubelet.process / "cwd" / "config.yaml").write_text("singleProcessOOMKill: true")
    assert kubelet.setting.single_process is True


def test_without_a_kubelet_nothing_is_known(tmp_path: Path) -> None:
    assert kubelet_setting(tmp_path).why == "no process kubelet is visible here"
    assert kubelet_setting(tmp_path / "none").single_process is None
