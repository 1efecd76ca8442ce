"""uninstall: values first; the ledger that knows them is removed only when all are restored; then nothing of oomward is left."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from agent.cgroup import mount
from agent.cli import main
from agent.commands import EXIT_FAILED, EXIT_OK, once
from agent.commands.output.table import Output
from agent.commands.uninstall import uninstall
from agent.ledger import AgentLock, LockedError
from agent.runtime.drop_in import DropIns
from tests.unit.commands.world import CONTAINER, MODE, LookedAtNode, pod_json
from tests.unit.patience import wait_until
from tests.unit.runtime.world import SystemdNode


@pytest.fixture
def node(node: LookedAtNode) -> LookedAtNode:
    """As an agent leaves it: a container in mode single, its original value 1 in the ledger."""
    node.server.put_pod(pod_json(labels={MODE: "single"}))
    assert once.apply(node.settings, Output.JSON, StringIO()) == EXIT_OK
    assert value(node) == 0
    return node


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SystemdNode:
    return SystemdNode(tmp_path / "systemd", monkeypatch)


def value(node: LookedAtNode) -> int:
    return int((node.mount / CONTAINER / "memory.oom.group").read_text())


def run(node: LookedAtNode, systemd: SystemdNode, reload: Callable[[], bool] = lambda: True) -> int:
    return uninstall(node.settings, Output.JSON, StringIO(), policies=systemd.policies, reload=reload)


def is_done(node: LookedAtNode) -> bool:
    return uninstall(node.settings, Output.JSON, StringIO(), done=True) == EXIT_OK


def files(node: LookedAtNode) -> set[str]:
    return {path.name for path in node.state.iterdir()}


def test_the_value_is_restored_and_nothing_is_left(node: LookedAtNode, systemd: SystemdNode) -> None:
    (node.state / "ledger.older-20250101.sqlite3").write_text("of an older version")
    assert not is_done(node)
    assert run(node, systemd) == EXIT_OK
    assert (value(node), files(node)) == (1, set())
    assert is_done(node)


def test_a_second_run_has_nothing_to_do(node: LookedAtNode, systemd: SystemdNode) -> None:
    assert [run(node, systemd), run(node, systemd)] == [EXIT_OK, EXIT_OK]
    assert files(node) == set()


def test_files_of_others_in_the_same_folder_stay(node: LookedAtNode, systemd: SystemdNode) -> None:
    (node.state / "photos").mkdir()
    (node.state / "notes.txt").write_text("mine")
    assert run(node, systemd) == EXIT_OK
    assert files(node) == {"photos", "notes.txt"}


def test_a_value_that_cannot_be_restored_keeps_the_ledger(
    node: LookedAtNode, systemd: SystemdNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.unreadable(f"{CONTAINER}/memory.oom.group")
    assert run(node, systemd) == EXIT_FAILED
    assert "ledger.sqlite3" in files(node)
    assert "the ledger in" in capsys.readouterr().err
    assert not is_done(node)


def test_beside_a_running_agent_it_changes_nothing(node: LookedAtNode, systemd: SystemdNode) -> None:
    with AgentLock(node.state, "n"), pytest.raises(LockedError):
        run(node, systemd)
    assert value(node) == 0
    assert "ledger.sqlite3" in files(node)


def test_the_drop_ins_are_removed_and_systemd_is_asked_to_read_its_files(
    node: LookedAtNode, systemd: SystemdNode
) -> None:
    DropIns(systemd.policies).install(["cri-containerd"])
    asked: list[bool] = []

    def reload() -> bool:
        asked.append(True)
        return True

    assert run(node, systemd, reload) == EXIT_OK
    assert DropIns(systemd.policies).installed() == []
    assert asked == [True]


def test_a_drop_in_that_cannot_be_removed_is_reported_and_nothing_else_waits_for_it(
    node: LookedAtNode, systemd: SystemdNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    DropIns(systemd.policies).install(["cri-containerd"])
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".conf":
            raise PermissionError(30, "Read-only file system")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    assert run(node, systemd) == EXIT_OK
    assert "the drop-in stays until the node restarts" in capsys.readouterr().err
    assert files(node) == set()


def test_a_node_without_systemd_has_no_drop_in(
    node: LookedAtNode, systemd: SystemdNode, capsys: pytest.CaptureFixture[str]
) -> None:
    (systemd.root / "run/systemd/system").rmdir()
    assert run(node, systemd) == EXIT_OK
    assert "systemd" not in capsys.readouterr().err


def test_a_mistake_in_the_configuration_does_not_keep_it_from_working(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("logLevl: debug\n")
    state = tmp_path / "state"
    assert main(["uninstall", "--done", "--config", str(config), "--state-dir", str(state)]) == EXIT_OK
    assert "logLevl" in capsys.readouterr().err


def test_with_stay_it_waits_until_it_is_stopped_and_ends_well(node: LookedAtNode, tmp_path: Path) -> None:
    """Also as PID 1 of a container, for which the kernel ignores a SIGTERM without a handler."""
    program = (
        "import sys; from agent.cgroup import mount; from agent.cli import main\n"
        f"mount._magic = lambda fd: {mount.MAGICS['v2']}\n"
        f"sys.exit(main(['uninstall', '--stay', '--state-dir', '{node.state}', '--cgroup-mount', '{node.mount}']))"
    )
    said = tmp_path / "said"
    with said.open("w") as file:
        process = subprocess.Popen([sys.executable, "-c", program], stderr=file, stdout=file)
    try:
        wait_until(lambda: "nothing of oomward is left" in said.read_text() or process.poll() is not None, "it is done")
        assert process.poll() is None, said.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == EXIT_OK
    finally:
        process.kill()
    assert (value(node), files(node)) == (1, set())
