"""OOMPolicy as the agent reads it is what systemd has, for drop-ins of all kinds; and what the agent and its command make of it."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.model import ScopePolicy
from agent.runtime.oom_policy import OomPolicies
from tests.kernel.conftest import MODE, Node
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import Container, Instance, Pod
from tests.lab.systemd import ROOT, in_tree, properties, version
from tests.systemd.conftest import make_cri_node
from tests.unit.runtime.test_unit_files import COUNTS, DOES_NOT_COUNT

RUN, ETC = ROOT / "run/systemd/system", ROOT / "etc/systemd/system"
DELEGATED = ("-p", "Delegate=yes")
KILL = (*DELEGATED, "-p", "OOMPolicy=kill")
CONTINUE, STOP = "[Scope]\nOOMPolicy=continue\n", "[Scope]\nOOMPolicy=stop\n"
DROP_IN = Path("/run/systemd/system/cri-containerd-.scope.d/10-oomward.conf")
STOPS_FOR_ONE_PROCESS = range(259)  # with OOMPolicy=kill


def start(name: str, *asked: str) -> str:
    """A scope that lives for the test."""
    command = shlex.join(("systemd-run", "--quiet", "--scope", f"--unit={name}.scope", *asked, "--", "sleep", "600"))
    in_tree("sh", "-c", f"{command} </dev/null >/dev/null 2>&1 &")
    deadline = time.monotonic() + 30
    while in_tree("systemctl", "is-active", f"{name}.scope", check=False).stdout.strip() != "active":
        assert time.monotonic() < deadline, f"{name}.scope did not start"
        time.sleep(0.05)
    return f"{name}.scope"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(errors="surrogateescape"))


def read(scope: str) -> ScopePolicy:
    found = OomPolicies.of_node().of_scope(scope)
    assert found is not None
    return found


def check_true(scope: str) -> ScopePolicy:
    found = read(scope)
    assert found.policy == properties(scope, "OOMPolicy")["OOMPolicy"], scope
    return found


@pytest.fixture
def systemd() -> Iterator[None]:
    yield
    for folder in (RUN, ETC):
        for path in folder.glob("t*-*scope.d"):
            in_tree("rm", "-r", f"/{path.relative_to(ROOT)}")
    in_tree("systemctl", "daemon-reload")


def test_the_version_is_systemds_own() -> None:
    assert OomPolicies.of_node().version == version()


def test_every_text_of_a_drop_in_is_read_as_systemd_reads_it(systemd: None) -> None:
    texts = [*COUNTS, *DOES_NOT_COUNT, "[Scope]\nOOMPolicy=\n", "[Scope]\nOOMPolicy=bogus\n"]
    for number, text in enumerate(texts):
        write(RUN / f"t{number}-.scope.d/50-a.conf", text)
    in_tree("systemctl", "daemon-reload")
    for number, _ in enumerate(texts):
        check_true(start(f"t{number}-x", *KILL))


@pytest.mark.parametrize("asked", [(), DELEGATED, KILL], ids=len)
def test_delegation_decides_the_default(systemd: None, asked: tuple[str, ...]) -> None:
    for number, value in enumerate(("no", "", "Off", "memory", "N", "bogus")):
        write(RUN / f"t{len(asked)}{number}-.scope.d/50-a.conf", f"[Scope]\nDelegate={value}\n")
    in_tree("systemctl", "daemon-reload")
    for number in range(6):
        check_true(start(f"t{len(asked)}{number}-x", *asked))


def test_of_several_drop_ins_the_same_one_decides(systemd: None) -> None:
    cases: list[dict[Path, str]] = [
        {RUN / "t0-.scope.d/a.conf": STOP, RUN / "t0-x-.scope.d/a.conf": CONTINUE},
        {ETC / "t1-.scope.d/a.conf": STOP, RUN / "t1-x-.scope.d/a.conf": CONTINUE},
        {ETC / "t2-x-.scope.d/a.conf": STOP, RUN / "t2-.scope.d/a.conf": CONTINUE},
        {ETC / "t3-x-.scope.d/a.conf": "", RUN / "t3-x-.scope.d/a.conf": CONTINUE},
        {ETC / "t4-x-.scope.d/B.conf": STOP, RUN / "t4-x-.scope.d/a.conf": CONTINUE},
        {ETC / "t5-x-.scope.d/.b.conf": STOP, RUN / "t5-x-.scope.d/a.conf": CONTINUE},
        {ETC / "t6-x-.scope.d/b.conf~": STOP, RUN / "t6-x-.scope.d/a.conf": CONTINUE},
        {RUN / "t7-x-y.scope.d/a.conf": STOP, RUN / "t7-x-.scope.d/b.conf": CONTINUE},
        {RUN / "t8-x-y.scope.d/b.conf": STOP, RUN / "t8-x-.scope.d/a.conf": CONTINUE},
    ]
    for case in cases:
        for path, text in case.items():
            write(path, text)
    in_tree("systemctl", "daemon-reload")
    for number, _ in enumerate(cases):
        check_true(start(f"t{number}-x-y", *KILL))


def test_a_drop_in_counts_from_when_systemd_reads_it(systemd: None) -> None:
    running = start("t1-running", *KILL)
    write(RUN / "t1-.scope.d/50-a.conf", CONTINUE)
    assert check_true(running).after_reload == "continue"
    assert check_true(start("t1-new-folder", *KILL)).policy == "kill"
    in_tree("systemctl", "daemon-reload")
    assert check_true(running).policy == "continue"
    write(RUN / "t1-.scope.d/60-b.conf", STOP)
    assert check_true(running).after_reload == "stop"
    assert check_true(start("t1-old-folder", *KILL)).policy == "stop"


# --------------------------------------------------------------------------------------------- the agent and its command


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_cri_node(tmp_path_factory.mktemp("node"), "systemd")
    node.start_agent()
    yield node
    node.oomward("oom-policy", "remove")
    node.close()


def started(node: Node, name: str, mode: str = "single", runtime: str = "runc-next", *, kill: bool = False) -> Instance:
    args = ("family", "2", "0", "60") if kill else ("family", "2", "1", "0")  # two seconds until its limit
    pod = Pod(
        name,
        (Container("main", args, 32),),
        labels={MODE: mode},
        runtime=runtime,
        restart_policy="Never",
    )
    (main,) = node.kubelet.run_pod(pod)
    return main


def conflicts(node: Node) -> float:
    return node.agent.total("oomward_oom_policy_conflicts")


def survives_a_kill(node: Node, main: Instance, *, stops: bool = False) -> bool:
    """Whether the container is there some time after one of its processes was OOM-killed. ``stops``: systemd is expected to stop it."""
    pod = node.kubelet.driver.pod_path(main.pod)
    node.kubelet.wait_for(lambda: memory_events(pod)["oom_kill"], 60)
    assert memory_events(pod)["oom_group_kill"] == 0
    if stops:
        node.kubelet.wait_for(lambda: not main.running, 60)
    time.sleep(3)  # nothing else shows that systemd does nothing
    return main.running and (MOUNT / main.path).exists()


def test_without_nri_and_drop_in_single_is_reported_where_systemd_stops_the_scope(node: Node) -> None:
    started(node, "reported")
    reason = "OOMModeFailed" if version() in STOPS_FOR_ONE_PROCESS else "OOMModeApplied"
    node.agent.wait_for(lambda: node.events(reason, "reported"), 60, reason)
    expected = 1 if version() in STOPS_FOR_ONE_PROCESS else 0
    node.agent.wait_for(lambda: conflicts(node) == expected, 60, "the gauge")
    both = [*node.events("OOMModeFailed", "reported"), *node.events("OOMModeApplied", "reported")]
    assert len(both) == 1
    (explained,) = json.loads(node.oomward("explain", "reported", "--output", "json").stdout)["pods"][0]["containers"]
    assert (explained["systemd"]["oom_policy"], explained["systemd"]["stops_survivors"]) == ("kill", bool(expected))


def test_what_is_reported_is_what_happens(node: Node) -> None:
    stops = version() in STOPS_FOR_ONE_PROCESS
    assert survives_a_kill(node, started(node, "happens", kill=True), stops=stops) is not stops


@pytest.mark.parametrize(("mode", "runtime"), [("group", "runc-next"), ("single", "runc"), ("single", "crun")])
def test_group_and_todays_runtimes_are_not_reported(node: Node, mode: str, runtime: str) -> None:
    name = f"{mode}-{runtime}"
    started(node, name, mode, runtime)
    node.agent.wait_for(lambda: node.events("OOMModeApplied", name), 60, "applied")
    assert node.events("OOMModeFailed", name) == []


def test_the_command_makes_single_true_for_running_and_new_containers_and_remove_ends_it(node: Node) -> None:
    before = started(node, "before")
    done = node.oomward("oom-policy", "install", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert [one["state"] for one in json.loads(done.stdout)["drop_ins"]] == ["installed"]
    assert DROP_IN.exists()
    assert check_true(Path(before.path).name).policy == "continue"
    node.agent.wait_for(lambda: conflicts(node) == 0, 60, "no conflict")
    node.agent.wait_for(lambda: node.events("OOMModeApplied", "before"), 60, "applied after all")
    after = started(node, "after", kill=True)
    assert check_true(Path(after.path).name).policy == "continue"
    node.agent.wait_for(lambda: node.events("OOMModeApplied", "after"), 60, "applied")
    assert survives_a_kill(node, after)
    assert node.knob(before.path) == "0", "the reload reset nothing that the agent has not corrected"
    assert "drop-in is installed for cri-containerd" in node.oomward("check").stdout
    inode = DROP_IN.stat().st_ino
    assert node.oomward("oom-policy", "install").returncode == 0
    assert DROP_IN.stat().st_ino == inode, "nothing to do"
    assert node.oomward("oom-policy", "remove").returncode == 0
    assert not DROP_IN.parent.exists()
    assert check_true(Path(before.path).name).policy == "kill"
    assert check_true(Path(started(node, "removed").path).name).policy == "kill"
