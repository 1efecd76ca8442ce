"""once: applies what the agent would hold, shows it, or gives it back; nothing is lost on the way, and trouble is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

from agent.commands import EXIT_FAILED, EXIT_OK, once
from agent.commands.output.table import Output
from agent.kernel.kmsg import boot_id
from agent.ledger import AgentLock, Ledger, LockedError
from agent.model import Original
from agent.settings import Settings
from tests.unit.commands.world import CONTAINER, MODE, POD, SANDBOX, UID2, LookedAtNode, pod_json

Command = Callable[[Settings, Output, Any], int]


@pytest.fixture
def node(node: LookedAtNode) -> LookedAtNode:
    """herder-1 asks for single; its knob says 1."""
    node.server.put_pod(pod_json(labels={MODE: "single"}))
    return node


def run(node: LookedAtNode, command: Command) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and rows."""
    file = StringIO()
    code = command(node.settings, Output.JSON, file)
    return code, json.loads(file.getvalue())["writes"] if file.getvalue() else []


def knob(node: LookedAtNode, path: str = CONTAINER) -> int:
    return int((node.mount / path / "memory.oom.group").read_text())


def test_it_writes_what_the_agent_would_hold_and_remembers_what_was_there(node: LookedAtNode) -> None:
    code, (row,) = run(node, once.apply)
    assert code == EXIT_OK
    assert (row["pod"], row["container"], row["oom_group_before"], row["oom_group_desired"]) == (
        "herder-1",
        "herder",
        1,
        0,
    )
    assert (row["write_outcome"], row["why"]) == ("written", f"label {MODE}=single")
    assert knob(node) == 0
    ledger = Ledger.open(node.state, boot_id())
    assert [original.value for original in ledger.originals()] == [1]
    ledger.close()


def test_a_restarted_container_gets_it_though_the_api_still_names_the_one_before(node: LookedAtNode) -> None:
    again = f"{CONTAINER.rpartition('/')[0]}/{'c' * 64}"
    node.container(again, knob=1, limit=256)
    run(node, once.apply)
    assert knob(node, again) == 1, "the one that the API names runs: this may be a sandbox"
    node.write(f"{CONTAINER}/cgroup.events", "populated 0\nfrozen 0\n")
    run(node, once.apply)
    assert knob(node, again) == 0


def test_a_dry_run_writes_neither_the_knob_nor_a_ledger(node: LookedAtNode) -> None:
    code, (row,) = run(node, once.dry_run)
    assert (code, row["write_outcome"]) == (EXIT_OK, "dry_run")
    assert knob(node) == 1
    assert list(node.state.iterdir()) == []


def test_a_pod_that_no_longer_asks_gets_its_value_back(node: LookedAtNode) -> None:
    run(node, once.apply)
    node.server.put_pod(pod_json())
    code, (row,) = run(node, once.apply)
    assert (code, row["oom_group_desired"], row["write_outcome"]) == (EXIT_OK, 1, "written")
    assert knob(node) == 1


def test_a_dry_run_shows_the_value_that_a_pod_which_no_longer_asks_would_get_back(node: LookedAtNode) -> None:
    run(node, once.apply)
    node.server.put_pod(pod_json())
    code, (row,) = run(node, once.dry_run)
    assert (code, row["oom_group_before"], row["oom_group_desired"], row["write_outcome"]) == (EXIT_OK, 0, 1, "dry_run")
    assert knob(node) == 0
    assert run(node, once.apply)[1][0]["write_outcome"] == "written", "the original is still in the ledger"


def test_restore_gives_back_and_forgets_and_then_has_nothing_to_do(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    run(node, once.apply)
    code, (row,) = run(node, once.restore)
    assert (code, row["write_outcome"], knob(node)) == (EXIT_OK, "written", 1)
    assert run(node, once.restore) == (EXIT_OK, [])
    assert "nothing to restore" in capsys.readouterr().err


def test_what_cannot_be_given_back_stays_owed_and_the_exit_code_says_so(node: LookedAtNode) -> None:
    run(node, once.apply)
    node.unreadable(f"{CONTAINER}/memory.oom.group")
    code, (row,) = run(node, once.restore)
    assert code == EXIT_FAILED
    assert row["write_outcome"] in ("denied", "unsupported")
    ledger = Ledger.open(node.state, boot_id())
    assert len(ledger.originals()) == 1
    ledger.close()


def test_restore_writes_no_pods_cgroup_whatever_the_ledger_says(node: LookedAtNode) -> None:
    """A ledger that somebody wrote into by hand."""
    inode = (node.mount / POD).stat().st_ino
    node.remember(original=Original(inode, POD, 1, "uid", 1.0))
    code, (row,) = run(node, once.restore)
    assert (code, row["write_outcome"], knob(node, POD)) == (EXIT_FAILED, "denied", 0)


def test_without_the_api_it_goes_by_the_last_decisions_and_the_exit_code_says_so(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.remember(decided=(node.decided(),))
    node.server.close()
    code, (row,) = run(node, once.apply)
    assert (code, row["container"], knob(node)) == (EXIT_FAILED, "herder", 0)
    assert "the API is not reachable" in capsys.readouterr().err


def test_without_the_api_nothing_is_given_back_that_nobody_decided_about(node: LookedAtNode) -> None:
    inode = (node.mount / CONTAINER).stat().st_ino
    node.remember(original=Original(inode, CONTAINER, 0, "uid", 1.0))
    node.server.close()
    assert run(node, once.apply) == (EXIT_FAILED, [])
    assert knob(node) == 1


def test_beside_a_running_agent_it_refuses_to_write(node: LookedAtNode) -> None:
    with AgentLock(node.state, "node-1"):
        for command in (once.apply, once.restore):
            with pytest.raises(LockedError, match=r"an oomward agent .pid .*Stop it first\.\Z"):
                run(node, command)
        assert run(node, once.dry_run)[0] == EXIT_OK
    assert knob(node) == 1


def test_where_the_ledger_cannot_be_kept_it_applies_and_says_that_restore_will_not_work(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.state.rmdir()
    node.state.write_text("a file where a folder should be")
    code, (row,) = run(node, once.apply)
    assert (code, row["write_outcome"]) == (EXIT_FAILED, "written")
    assert "kept in memory only" in capsys.readouterr().err


def test_a_sandbox_that_is_as_it_should_be_is_no_news(node: LookedAtNode) -> None:
    _, rows = run(node, once.apply)
    assert SANDBOX not in [row["cgroup_path"] for row in rows]
    assert knob(node, SANDBOX) == 0


def test_what_the_api_says_of_a_pod_that_cannot_be_read_does_a_terminal_no_harm(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = pod_json("other\x1b[2J", UID2)
    broken["spec"]["containers"] = "\x1b[31mnone"
    node.server.put_pod(broken)
    for command in (once.dry_run, once.apply):
        run(node, command)
        said = capsys.readouterr().err
        assert "other" in said
        assert "\x1b" not in said


def test_group_on_cgroup_v1_is_unsupported_and_single_is_so_already(node: LookedAtNode) -> None:
    node.to_v1()
    assert [row["write_outcome"] for row in run(node, once.apply)[1]] == ["already"]
    node.server.put_pod(pod_json(labels={MODE: "group"}))
    code, (row,) = run(node, once.apply)
    assert (code, row["write_outcome"]) == (EXIT_FAILED, "unsupported")


def test_a_container_that_exceeded_its_tolerance_stays_armed_as_with_the_agent(node: LookedAtNode) -> None:
    node.remember_tolerant(6)
    _, (row,) = run(node, once.dry_run)
    assert (row["oom_group_before"], row["oom_group_desired"], row["write_outcome"]) == (1, 1, "already")
    run(node, once.apply)
    assert knob(node) == 1


def test_a_container_within_its_tolerance_gets_its_mode(node: LookedAtNode) -> None:
    node.remember_tolerant(2)
    run(node, once.apply)
    assert knob(node) == 0
