"""history: kills from the ledger, newest first, beside a running agent too; and nothing else is asked."""

from __future__ import annotations

import json
import sqlite3
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from agent.commands import EXIT_OK
from agent.commands.history import history
from agent.commands.output.table import Output
from agent.ledger import Ledger, NoLedgerError
from agent.look.which import Which
from agent.model import AgentError
from agent.settings import Settings, load
from tests.unit.commands.world import NODE, a_kill

NOW = 10_000.0


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """There is no cgroup tree and no API in this world."""
    gone = str(tmp_path / "gone")
    return load({"node_name": NODE, "state_dir": str(tmp_path), "cgroup_mount": gone, "kubeconfig": gone}, {})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An agent's, which goes on running."""
    ledger = Ledger.open(tmp_path, "boot")
    kills = [a_kill(1, 1000.0), a_kill(2, 2000.0, pod="other"), a_kill(3, 9990.0, namespace="shop")]
    ledger.record(kills, [], None)
    ledger.commit()
    return ledger


def found(settings: Settings, **asked: Any) -> list[float]:
    """When the kills were."""
    file, which = StringIO(), Which.of(asked.pop("namespace", None), None, asked.pop("sort_by", None))
    assert history(settings, Output.JSON, file, which=which, **asked) == EXIT_OK
    return [kill["at_unix_s"] for kill in json.loads(file.getvalue())["kills"]]


def test_kills_come_newest_first_beside_the_agent_that_records_them(settings: Settings, ledger: Ledger) -> None:
    assert found(settings) == [9990.0, 2000.0, 1000.0]
    ledger.record([a_kill(4, 9999.0)], [], None)
    ledger.commit()
    assert found(settings)[0] == 9999.0
    ledger.close()
    assert len(found(settings)) == 4


def test_kills_are_chosen_by_namespace_pod_and_time(settings: Settings, ledger: Ledger) -> None:
    assert found(settings, namespace="shop") == [9990.0]
    assert found(settings, pod="herder-1") == [9990.0, 1000.0]
    assert found(settings, pod="default/herder-1") == [1000.0]
    assert found(settings, pod="default/herder-1", namespace="default") == [1000.0]
    assert found(settings, since_unix_s=NOW - 60.0) == [9990.0]
    ledger.close()


def test_a_pod_of_one_namespace_asked_for_in_another_is_a_contradiction(settings: Settings, ledger: Ledger) -> None:
    with pytest.raises(AgentError, match="default/herder-1 is not in namespace shop"):
        found(settings, pod="default/herder-1", namespace="shop")
    ledger.close()


def test_that_there_are_more_than_asked_for_is_said(
    settings: Settings, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert found(settings, limit=3) == [9990.0, 2000.0, 1000.0]
    assert capsys.readouterr().err == ""
    assert found(settings, limit=2) == [9990.0, 2000.0]
    assert "only the newest 2 kills are shown: raise --limit to see more" in capsys.readouterr().err
    assert found(settings, limit=1) == [9990.0]
    assert "only the newest kill is shown: raise --limit to see more" in capsys.readouterr().err
    ledger.close()


def test_kills_that_can_not_be_read_are_counted_and_the_others_shown(
    settings: Settings, ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.close()
    with sqlite3.connect(tmp_path / "ledger.sqlite3") as connection:
        connection.execute("UPDATE kill SET body = 'x' WHERE kill_id = 'boot-7-2'")
    connection.close()
    assert found(settings) == [9990.0, 1000.0]
    assert "left out 1 kill" in capsys.readouterr().err


def test_no_kill_is_said_and_no_ledger_is_an_error_that_tells_what_to_do(settings: Settings, ledger: Ledger) -> None:
    ledger.close()
    file = StringIO()
    history(settings, Output.TABLE, file, which=Which("none"), limit=5)
    history(settings, Output.TABLE, file, pod="shop/x\x1b", since_unix_s=3000.0, limit=5)
    assert file.getvalue().splitlines() == [
        "No OOM kills in namespace none.",
        "No OOM kills in pod shop/x\\x1b since 1970-01-01T00:50:00Z.",
    ]
    (settings.state_dir / "ledger.sqlite3").unlink()
    with pytest.raises(NoLedgerError, match="--state-dir"):
        found(settings)
