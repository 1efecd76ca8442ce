"""The policy that is read is the one that systemd has: each case was compared with systemd 257 and 262 (tests/systemd)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import OomPolicy, ScopePolicy
from agent.runtime.oom_policy import OomPolicies, node_root
from tests.unit.runtime.world import CONTINUE, DELEGATED, FOLDER, ID, KILL, SCOPE, STOP, SystemdNode

RUN, ETC = "/run/systemd/system", "/etc/systemd/system"


def policy(node: SystemdNode, scope: str = SCOPE) -> ScopePolicy:
    found = node.policies.of_scope(scope)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("unit", "expected"),
    [(DELEGATED, "continue"), (KILL, "kill"), ("[Scope]\n", "stop"), (CONTINUE, "continue"), ("", "stop")],
)
def test_without_drop_ins_the_transient_unit_decides(node: SystemdNode, unit: str, expected: str) -> None:
    node.start(unit)
    assert policy(node).policy == expected


def test_a_scope_that_is_not_there_has_no_policy(node: SystemdNode) -> None:
    assert node.policies.of_scope(SCOPE) is None
    node.start()
    assert node.policies.of_cgroup(f"kubepods.slice/kubepods-pod1.slice/{SCOPE}") is not None
    assert node.policies.of_cgroup(f"kubepods/pod1/{ID}") is None, "cgroupfs"


def test_a_drop_in_overrides_the_runtime_and_is_named(node: SystemdNode) -> None:
    node.write(f"{FOLDER}/10-oomward.conf", CONTINUE)
    node.reload()
    node.start()
    assert policy(node) == ScopePolicy(SCOPE, OomPolicy.CONTINUE, f"{FOLDER}/10-oomward.conf", systemd=257)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({f"{RUN}/scope.d/50-a.conf": STOP, f"{RUN}/cri-.scope.d/50-a.conf": KILL, f"{FOLDER}/50-a.conf": CONTINUE}, "continue"),
        ({f"{RUN}/scope.d/50-a.conf": CONTINUE, f"{RUN}/cri-.scope.d/50-a.conf": STOP}, "stop"),
        ({f"{RUN}/scope.d/50-a.conf": CONTINUE}, "continue"),
        ({f"{RUN}/scope.d/60-a.conf": CONTINUE, f"{FOLDER}/50-a.conf": STOP}, "continue"),
        ({f"{ETC}/scope.d/50-a.conf": STOP, f"{FOLDER}/50-a.conf": CONTINUE}, "continue"),
        ({f"{ETC}/cri-.scope.d/50-a.conf": STOP, f"{FOLDER}/50-a.conf": CONTINUE}, "stop"),
        ({f"{ETC}/cri-containerd-.scope.d/50-a.conf": STOP, f"{FOLDER}/50-a.conf": CONTINUE}, "stop"),
        ({f"{ETC}/cri-containerd-.scope.d/50-a.conf": "", f"{FOLDER}/50-a.conf": CONTINUE}, "kill"),
        ({f"{ETC}/cri-containerd-.scope.d/50-b.conf": STOP, f"{FOLDER}/50-a.conf": CONTINUE}, "stop"),
        ({f"{ETC}/cri-containerd-.scope.d/B.conf": STOP, f"{FOLDER}/a.conf": CONTINUE}, "continue"),
        ({f"{RUN}/{SCOPE}.d/50-a.conf": CONTINUE, f"{FOLDER}/50-a.conf": STOP}, "continue"),
        ({f"{FOLDER}/50-a.conf": "[Scope]\nOOMPolicy=\n"}, "kill"),
        ({f"{FOLDER}/50-a.conf": "[Scope]\nOOMPolicy=bogus\n"}, "kill"),
        ({f"{FOLDER}/50-a.conf": "[Scope]\nOOMPolicy=stop\nOOMPolicy=continue\nOOMPolicy=bogus\n"}, "continue"),
    ],
)  # fmt: skip
def test_of_several_drop_ins_that_one_decides_which_systemd_takes(
    node: SystemdNode, files: dict[str, str], expected: str
) -> None:
    for path, text in files.items():
        node.write(path, text)
    node.reload()
    node.start()
    assert policy(node).policy == expected


def test_a_scope_that_is_not_delegated_has_the_manager_s_default(node: SystemdNode) -> None:
    node.write("/usr/lib/systemd/system.conf", "[Manager]\nDefaultOOMPolicy=kill\n")
    node.start("[Scope]\nDelegate=no\n")
    assert policy(node).policy is OomPolicy.KILL
    node.write("/etc/systemd/system.conf.d/x.conf", "[Manager]\nDefaultOOMPolicy=continue\n")
    assert policy(node).policy is OomPolicy.CONTINUE


# ------------------------------------------------------------------------------------------- when systemd has read a file


def test_a_new_folder_counts_neither_for_running_nor_for_new_scopes_until_a_reload(node: SystemdNode) -> None:
    node.start()
    node.write(f"{FOLDER}/10-oomward.conf", CONTINUE)
    assert (policy(node).policy, policy(node).after_reload) == (OomPolicy.KILL, OomPolicy.CONTINUE)
    node.start(scope="cri-containerd-new.scope")
    assert policy(node, "cri-containerd-new.scope").policy is OomPolicy.KILL
    node.reload()
    for scope in (SCOPE, "cri-containerd-new.scope"):
        assert (policy(node, scope).policy, policy(node, scope).after_reload) == (OomPolicy.CONTINUE, None)


def test_a_new_file_in_an_old_folder_counts_for_new_scopes_at_once(node: SystemdNode) -> None:
    node.write(f"{FOLDER}/10-oomward.conf", CONTINUE)
    node.reload()
    node.start()
    node.write(f"{FOLDER}/20-later.conf", STOP)
    assert (policy(node).policy, policy(node).after_reload) == (OomPolicy.CONTINUE, OomPolicy.STOP)
    node.start(scope="cri-containerd-new.scope")
    assert policy(node, "cri-containerd-new.scope").policy is OomPolicy.STOP


def test_between_two_reloads_no_folder_outside_of_run_is_looked_for(
    node: SystemdNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.start()
    policies, asked = node.policies, list[str]()
    resolve = policies.files.resolve

    def resolved(path: str) -> Path | None:
        asked.append(path)
        return resolve(path)

    monkeypatch.setattr(policies.files, "resolve", resolved)
    node.write(f"{ETC}/cri-containerd-.scope.d/50-a.conf", CONTINUE)
    found = policies.of_scope(SCOPE)
    assert found is not None
    assert found.policy is OomPolicy.KILL
    assert [path for path in asked if not path.startswith("/run/")] == []
    node.reload()
    found = policies.of_scope(SCOPE)
    assert found is not None
    assert found.policy is OomPolicy.CONTINUE


def test_without_the_time_of_the_last_reload_files_count_as_they_are(node: SystemdNode) -> None:
    (node.root / "run/systemd/systemd-units-load").unlink()
    node.start()
    node.write(f"{FOLDER}/10-oomward.conf", CONTINUE)
    assert policy(node).policy is OomPolicy.CONTINUE


# --------------------------------------------------------------------------------------------------- the version, the root


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("usr/lib/systemd/libsystemd-core-262.so", 262),
        ("usr/lib64/systemd/libsystemd-shared-257.6-1.fc42.so", 257),
        ("usr/lib/x86_64-linux-gnu/systemd/libsystemd-core-258~rc1.so", 258),
        ("usr/lib/aarch64-linux-gnu/systemd/libsystemd-shared-252.so", 252),
        ("usr/lib/systemd/libsystemd-other-252.so", None),
    ],
)
def test_the_version_is_in_the_names_of_libraries(node: SystemdNode, name: str, version: int | None) -> None:
    for old in (node.root / "usr/lib/systemd").glob("*.so"):
        old.unlink()
    node.write(name, "")
    assert node.policies.version == version


@pytest.mark.parametrize(
    ("kind", "version", "stops"),
    [
        (OomPolicy.STOP, 262, True),
        (OomPolicy.KILL, 258, True),
        (OomPolicy.KILL, 259, False),
        (OomPolicy.KILL, None, True),
        (OomPolicy.CONTINUE, 253, False),
    ],
)
def test_whether_systemd_stops_a_scope_depends_on_policy_and_version(
    kind: OomPolicy, version: int | None, stops: bool
) -> None:
    assert ScopePolicy(SCOPE, kind, systemd=version).stops_survivors is stops


def test_the_root_is_that_of_pid_1_if_it_is_systemd_and_visible(tmp_path: Path) -> None:
    assert node_root(tmp_path) == (Path("/"), False), "not visible"
    (tmp_path / "1" / "root" / "run").mkdir(parents=True)
    (tmp_path / "1" / "comm").write_text("oomward\n")
    assert node_root(tmp_path) == (tmp_path / "1" / "root", False)
    (tmp_path / "1" / "comm").write_bytes(b"\xff\n")
    assert node_root(tmp_path) == (tmp_path / "1" / "root", False), "a name may be any bytes"
    (tmp_path / "1" / "comm").write_text("systemd\n")
    assert node_root(tmp_path) == (tmp_path / "1" / "root", True)
    assert OomPolicies.of_node(tmp_path).whole


# -------------------------------------------------------------------------------------------------------------- properties

LINES = st.sampled_from(
    ["[Scope]", "[Unit]", "OOMPolicy=stop", "OOMPolicy=kill", "OOMPolicy=continue", "OOMPolicy=", "Delegate=yes", "#"]
)


@given(st.lists(LINES, max_size=8), st.sampled_from([*OomPolicy]))
def test_the_last_valid_assignment_of_the_last_drop_in_decides_whatever_comes_before(
    lines: list[str], last: OomPolicy
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            node = SystemdNode(Path(folder) / "node", patch)
            node.write(f"{FOLDER}/10-a.conf", "\n".join(lines))
            node.write(f"{FOLDER}/20-b.conf", f"[Scope]\nOOMPolicy={last.value}\n")
            node.reload()
            node.start("\n".join(lines))
            assert policy(node).policy is last
