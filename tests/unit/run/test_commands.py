"""Commands beside the whole agent say the same as without it, and looking at it costs it nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path

import pytest

from agent.cgroup.files import CgroupFiles
from agent.commands import survey
from agent.commands.diagnose import diagnose
from agent.commands.explain import explain
from agent.commands.history import history
from agent.commands.output.table import Output
from agent.commands.ps import ps
from agent.ledger import LedgerReader
from agent.serve.protocol import SOCKET
from agent.settings import Settings
from tests.lab.apiserver import ApiServer
from tests.unit.patience import PATIENCE_S
from tests.unit.run.running import Agent
from tests.unit.run.test_run import CONTAINER, herder, kill

Own = Callable[[Settings, Output, StringIO], int]
COMMANDS: dict[str, Own] = {
    "ps": ps,
    "explain herder-1": lambda settings, output, file: explain(settings, "herder-1", output, file),
    "diagnose": lambda settings, output, file: diagnose(settings, None, output, file),
    "diagnose herder-1": lambda settings, output, file: diagnose(settings, "herder-1", output, file),
    "history --pod herder-1": partial(history, pod="herder-1"),
}


def beside(agent: Agent, words: str, output: Output) -> tuple[str, str]:
    """What the command prints, and on standard error."""
    environ = {**os.environ, "OOMWARD_STATE_DIR": str(agent.work / "state"), "OOMWARD_CONFIG": ""}
    command = [sys.executable, "-m", "agent", *words.split(), "--output", output.value]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S, env=environ)
    return found.stdout, found.stderr


def alone(agent: Agent, command: Own, output: Output) -> tuple[str, str]:
    file, errors = StringIO(), StringIO()
    with redirect_stderr(errors):
        command(agent.settings(), output, file)
    return file.getvalue(), errors.getvalue()


@pytest.mark.parametrize(("tolerate", "mode"), [("5/10m", "0"), ("1/10m", "1")], ids=["tolerated", "exceeded"])
def test_each_command_says_the_same_beside_the_agent_as_without_it(
    agent: Agent, api: ApiServer, monkeypatch: pytest.MonkeyPatch, tolerate: str, mode: str
) -> None:
    monkeypatch.setattr(survey, "CgroupFiles", partial(CgroupFiles, check_magic=False))
    pod = herder(mode="single")
    pod["metadata"]["annotations"] = {"oomward.dev/tolerate": tolerate}
    (status,) = pod["status"]["containerStatuses"]
    waits = {
        "name": "web",
        "restartCount": 7,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
    }
    pod["spec"]["containers"].append({"name": "web"})
    pod["status"]["containerStatuses"] = [status, waits]
    api.put_pod(pod)

    def recorded() -> bool:
        reader = LedgerReader(agent.work / "state")
        kills = reader.kills()
        reader.close()
        return len(kills) == 2 and all(kill.outcome is not None for kill in kills)

    def meanwhile() -> None:
        agent.ready()
        agent.make(CONTAINER, knob=1)
        agent.until(lambda: agent.knob(CONTAINER) == "0", "enforced")
        kill(agent)
        agent.until(lambda: "oomward_oom_kills_total{" in agent.get("/metrics")[1], "counted")
        kill(agent, 2)
        agent.until(recorded, "the kills, with their outcomes")
        agent.until(lambda: agent.knob(CONTAINER) == mode, "and what follows")
        for words, command in COMMANDS.items():
            for output in (Output.TABLE, Output.JSON):
                same = alone(agent, command, output)
                assert beside(agent, words, output) == same, words
                assert "herder-1" in same[0]

    assert agent.run(meanwhile) == 0
    assert not (agent.work / "state" / SOCKET).exists()


def test_an_agent_whose_state_folder_has_no_room_for_a_socket_runs_all_the_same(
    agent: Agent, capfd: pytest.CaptureFixture[str]
) -> None:
    state = Path(agent.work / "state")
    state.mkdir()
    (state / SOCKET).mkdir()
    assert agent.run(agent.ready) == 0
    assert "no socket for commands" in capfd.readouterr().err
