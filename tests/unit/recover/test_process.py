"""`oomward recover` as a process: two replicas, one of which is killed with SIGKILL in the middle; its pages; its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from agent.commands.parsers import parser
from agent.commands.recover import Trouble
from agent.model.recover import State
from tests.lab.apifaults import Fault, How
from tests.unit.patience import PATIENCE_S, wait_until
from tests.unit.recover.lab import Json, Lab
from tests.unit.recover.pods import no_image

Start = Callable[[str], subprocess.Popen[bytes]]
CONFIGMAPS = "/api/v1/namespaces/oomward/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/oomward/leases"


@pytest.fixture
def start(lab: Lab, tmp_path: Path) -> Iterator[Start]:
    lab.server.write_kubeconfig(tmp_path / "kubeconfig")
    (tmp_path / "policy.yaml").write_text("dryRun: false\nbackOff: 1s\nstableFor: 2s\n")
    running: list[subprocess.Popen[bytes]] = []

    def make(name: str) -> subprocess.Popen[bytes]:
        port = 20_000 + os.getpid() % 20_000 + 2 * len(running)
        command = [sys.executable, "-m", "agent", "recover", "--policy", str(tmp_path / "policy.yaml")]
        command += ["--kubeconfig", str(tmp_path / "kubeconfig"), "--listen", f"127.0.0.1:{port}"]
        environ = {**os.environ, "POD_NAME": name, "POD_NAMESPACE": "oomward", "OOMWARD_CONFIG": ""}
        with (tmp_path / name).open("wb") as log:
            process = subprocess.Popen(command, env=environ, stderr=log)
        process.port = port  # type: ignore[attr-defined]
        running.append(process)
        return process

    yield make
    for process in running:
        process.kill()
        process.wait(PATIENCE_S)


def holder(lab: Lab) -> str:
    found = lab.server.objects.stored.get(("/apis/coordination.k8s.io/v1", "leases", "oomward", "oomward-recover"))
    return "" if found is None else str(found["spec"]["holderIdentity"])


def test_a_replica_that_is_killed_in_the_middle_of_a_step_is_succeeded_and_the_step_happens_once(
    lab: Lab, start: Start
) -> None:
    changes: list[str] = []

    def count(before: Json | None, after: Json) -> None:
        if before is not None and after.get("kind") == "Pod" and before["spec"] != after["spec"]:
            changes.append("change")

    lab.server.objects.reactors.append(count)
    first = start("first")
    wait_until(lambda: holder(lab) == "first", "the first leads")
    second = start("second")
    lab.server.faults.add(Fault(How.SILENT, verb="patch", path="/api/v1/namespaces/shop/pods", times=1))
    lab.put(no_image(created=time.time() - 600))
    wait_until(lambda: [one.state for one in lab.history.attempts] == [State.INTENDED], "the intent")
    wait_until(lambda: lab.writes("/shop/pods/") == 1, "its request")
    first.kill()
    wait_until(lambda: changes == ["change"], "the second does it")
    wait_until(lambda: lab.history.attempts[0].state is not State.INTENDED, "and records it")
    assert holder(lab) == "second"
    assert lab.history.attempts[0].after == "second.example/app:1"
    with urlopen(f"http://127.0.0.1:{second.port}/metrics") as page:  # type: ignore[attr-defined]
        assert b"oomward_recovery_leading 1.0" in page.read()
    with urlopen(f"http://127.0.0.1:{second.port}/readyz") as page:  # type: ignore[attr-defined]
        assert page.status == 200
    second.send_signal(signal.SIGTERM)
    assert second.wait(PATIENCE_S) == 0
    assert holder(lab) == ""


def test_a_policy_with_a_mistake_is_a_sentence_and_two(lab: Lab, start: Start, tmp_path: Path) -> None:
    process = start("first")
    process.kill()
    process.wait()
    (tmp_path / "policy.yaml").write_text("dryRun: perhaps\n")
    process = start("second")
    assert process.wait(PATIENCE_S) == 2
    assert "dryRun: 'perhaps' is not true or false" in (tmp_path / "second").read_text()


def test_its_log_says_who_leads_how_it_ends_and_each_trouble_once(lab: Lab, start: Start, tmp_path: Path) -> None:
    lab.server.faults.add(Fault(How.STATUS, verb="list", path="/api/v1/pods", status=403, reason="Forbidden", times=3))
    first = start("first")
    wait_until(lambda: holder(lab) == "first", "the first leads")
    second = start("second")
    wait_until(lambda: "replica first leads" in (tmp_path / "second").read_text(), "the second knows it")
    for process in (first, second):
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    text = (tmp_path / "first").read_text()
    assert text.count("replica first leads") == text.count("ended by SIGTERM") == 1


def test_answers_that_are_no_lease_end_no_process_and_are_logged_once(lab: Lab, start: Start, tmp_path: Path) -> None:
    lab.server.faults.add(Fault(How.BODY, verb="get", path=LEASES, body=b"null", times=3))
    process = start("first")
    wait_until(lambda: holder(lab) == "first", "it leads when the API answers again")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    text = (tmp_path / "first").read_text()
    assert text.count("the lease can't be renewed") == text.count("is no Lease") == 1
    assert "a thread ended" not in text


def test_the_same_trouble_is_logged_once_in_five_minutes() -> None:
    lines: list[str] = []
    now = [0.0]
    trouble = Trouble(lines.append, lambda: now[0])
    for seconds in (0, 2, 4, 299, 300, 302):
        now[0] = float(seconds)
        trouble("the lease can't be renewed")
    trouble("another")
    assert lines == ["the lease can't be renewed"] * 2 + ["another"]


def test_its_help_has_no_setting_of_a_node(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["recover", "--help"])
    text = capsys.readouterr().out
    assert not any(flag in text for flag in ("--kmsg", "--node-name", "--nri", "--cgroup-mount"))
    assert all(flag in text for flag in ("--policy", "--kubeconfig", "--listen", "--log-level"))
