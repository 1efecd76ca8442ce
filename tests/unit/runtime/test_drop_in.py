"""The drop-in: written whole, removed only if it is ours, and known to be unread until systemd has read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.runtime.drop_in import FIRST_LINE, TEXT, DropInError, DropIns, NoSystemdError, State, reload_systemd
from agent.runtime.oom_policy import OomPolicies
from tests.unit.runtime.world import CONTINUE, FOLDER, SCOPE, SystemdNode

ONE = ["cri-containerd"]


def file_of(node: SystemdNode) -> Path:
    return node.root / FOLDER.lstrip("/") / "10-oomward.conf"


def states(node: SystemdNode, prefixes: list[str] | None = None) -> list[State]:
    return [one.state for one in DropIns(node.policies).show(prefixes or ONE)]


def test_installed_it_overrides_the_runtime_for_scopes_of_this_prefix_only(node: SystemdNode) -> None:
    assert DropIns(node.policies).install(ONE) is True
    assert file_of(node).read_text() == TEXT
    assert file_of(node).stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in file_of(node).parent.iterdir()) == ["10-oomward.conf"]
    node.start()
    found = node.policies.of_scope(SCOPE)
    assert found is not None
    assert found.policy == "continue"
    node.start(scope="docker-x.scope")
    other = node.policies.of_scope("docker-x.scope")
    assert other is not None
    assert other.policy == "kill"


def test_installed_again_nothing_is_written_and_systemd_need_not_read(node: SystemdNode) -> None:
    DropIns(node.policies).install(ONE)
    before = file_of(node).stat().st_mtime_ns
    node.reload()
    assert DropIns(node.policies).install(ONE) is False
    assert file_of(node).stat().st_mtime_ns == before


def test_a_file_that_systemd_has_not_read_yet_needs_a_reload_again(node: SystemdNode) -> None:
    node.write(f"{FOLDER}/10-oomward.conf", TEXT)
    assert states(node) == [State.UNREAD]
    assert DropIns(node.policies).install(ONE) is True
    node.reload()
    assert states(node) == [State.INSTALLED]


def test_an_older_one_of_ours_is_replaced(node: SystemdNode) -> None:
    node.write(f"{FOLDER}/10-oomward.conf", f"{FIRST_LINE}\n[Scope]\n")
    assert DropIns(node.policies).install(ONE) is True
    assert file_of(node).read_text() == TEXT


def test_removed_its_empty_folder_goes_too_and_systemd_has_to_forget_it(node: SystemdNode) -> None:
    DropIns(node.policies).install(ONE)
    assert DropIns(node.policies).installed() == ONE
    assert DropIns(node.policies).remove(ONE) is True
    assert not file_of(node).parent.exists()
    assert DropIns(node.policies).remove(ONE) is False
    assert states(node) == [State.ABSENT]


def test_files_of_others_stay(node: SystemdNode) -> None:
    node.write(f"{FOLDER}/20-theirs.conf", CONTINUE)
    DropIns(node.policies).install(ONE)
    DropIns(node.policies).remove(ONE)
    assert [path.name for path in file_of(node).parent.iterdir()] == ["20-theirs.conf"]


@pytest.mark.parametrize("make", ["text", "link", "folder"])
def test_what_is_not_ours_is_neither_replaced_nor_removed(node: SystemdNode, make: str) -> None:
    file_of(node).parent.mkdir()
    if make == "text":
        file_of(node).write_text(CONTINUE)
    elif make == "link":
        (node.root / "ours").write_text(TEXT)
        file_of(node).symlink_to(node.root / "ours")
    else:
        file_of(node).mkdir()
    assert states(node) == [State.FOREIGN]
    assert DropIns(node.policies).remove(ONE) is False
    with pytest.raises(DropInError, match=r"is not oomward's"):
        DropIns(node.policies).install(ONE)
    assert DropIns(node.policies).installed() == []


def test_without_systemd_it_is_refused(node: SystemdNode) -> None:
    (node.root / "run/systemd/system").rmdir()
    with pytest.raises(NoSystemdError, match="systemd does not run here"):
        DropIns(OomPolicies(node.root, whole=True))


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(node: SystemdNode) -> None:
    (node.root / FOLDER.lstrip("/")).write_text("a file in the folder's place")
    with pytest.raises(DropInError, match=r"cannot write /run/systemd/system/cri-containerd-.scope.d/10-oomward.conf"):
        DropIns(node.policies).install(ONE)


@pytest.mark.parametrize(
    ("comm", "asked"), [(b"systemd\n", True), (b"oomward\n", False), (b"\xff\n", False), (None, False)]
)
def test_only_a_pid_1_that_is_systemd_is_asked_to_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comm: bytes | None, asked: bool
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append((pid, int(number))))
    if comm is not None:
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "comm").write_bytes(comm)
    assert reload_systemd(tmp_path) is asked
    assert sent == ([(1, 1)] if asked else [])
