"""report: a page about this node, from the running agent's answers or from the node itself; never a page that hides what is not known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.commands import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from agent.commands.report import MOST_KILLS, answer_of_node, report
from agent.model import AgentError
from agent.serve import protocol
from agent.serve.answers import MOST_KILLS as AN_AGENT_SENDS
from agent.serve.server import CommandServer
from agent.wording.view import Shown
from tests.unit.commands.world import CONTAINER, MIB, NODE, LookedAtNode, a_kill

ANSWERS: dict[str, Any] = {
    "history": {"kills": [{"at_unix_s": 1e9, "namespace": "shop", "pod": "of-the-agent-0"}]},
    "ps": {"containers": []},
    "advise": {"workloads": []},
}


@pytest.fixture
def agent(node: LookedAtNode) -> Iterator[Callable[..., list[tuple[str, dict[str, Any]]]]]:
    """Starts an agent that answers so; returns what it is asked."""
    servers: list[CommandServer] = []

    def start(**answers: Any) -> list[tuple[str, dict[str, Any]]]:
        asked: list[tuple[str, dict[str, Any]]] = []

        def answer(line: bytes) -> bytes:
            command, arguments, document = protocol.read_request(line)
            asked.append((command, arguments))
            assert document
            given = (ANSWERS | answers)[command]
            return given if isinstance(given, bytes) else protocol.answer_line(Shown(given, None, []), document=True)

        server = CommandServer(node.state, answer)
        servers.append(server)
        server.start()
        return asked

    yield start
    for server in servers:
        server.close()


def page(node: LookedAtNode, **asked: Any) -> str:
    file = StringIO()
    assert report(node.settings, "-", file, **({"namespace": None, "since_unix_s": None} | asked)) == EXIT_OK
    return file.getvalue()


def test_without_an_agent_the_page_is_of_the_ledger_the_cgroups_and_the_api(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.write(f"{CONTAINER}/memory.current", f"{250 * MIB}\n")
    node.remember(a_kill(1, time.time() - 60), a_kill(2, time.time() - 50, namespace="shop"))
    html = page(node)
    assert f"<bdi>{NODE}</bdi>" in html
    assert capsys.readouterr().err.count("this command reads the node itself") == 1
    assert "<b>2</b><span>OOM kills</span>" in html
    assert "<b>1</b><span>container near the limit, of 1</span>" in html
    assert "<b>1</b><span>OOM kill</span>" in page(node, namespace="shop")
    assert "No OOM kills in this time." in page(node, since_unix_s=time.time() - 10)


def test_beside_an_agent_it_is_asked_three_times_and_nothing_else_is_read(node: LookedAtNode, agent: Any) -> None:
    asked = agent()
    assert "of-the-agent-0" in page(node, namespace="shop")
    assert asked == [
        ("history", {"node": NODE, "namespace": "shop", "since_unix_s": None, "limit": MOST_KILLS}),
        ("ps", {"node": NODE}),
        ("advise", {"node": NODE, "since_unix_s": None}),
    ]
    assert MOST_KILLS <= AN_AGENT_SENDS


def test_without_the_api_the_page_is_made_and_says_that_there_is_no_advice(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    node.remember(a_kill(1, time.time() - 60))
    node.server.close()
    html = page(node)
    assert "<b>1</b><span>OOM kill</span>" in html
    assert "the advice could not be read" in html
    assert "the API is not reachable" in capsys.readouterr().err


def test_without_kills_to_read_there_is_no_page(node: LookedAtNode, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no ledger to read at"):
        answer_of_node(node.settings, namespace=None, since_unix_s=None)
    words = ("--state-dir", str(node.state), "--node-name", NODE)
    assert main(("report", "--html", str(tmp_path / "page.html"), *words)) == EXIT_FAILED
    assert not (tmp_path / "page.html").exists()


def test_what_the_agent_failed_at_is_a_note_on_the_page(node: LookedAtNode, agent: Any) -> None:
    agent(advise=protocol.failed_line("the API is not reachable"))
    assert f"{NODE}: the API is not reachable" in page(node)


def test_as_it_is_typed(node: LookedAtNode, agent: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = agent()
    words = ("--state-dir", str(node.state), "--node-name", NODE)
    assert main(("report", "--html", str(tmp_path / "page.html"), "-n", "shop", "--since", "6h", *words)) == EXIT_OK
    since_unix_s = pytest.approx(time.time() - 6 * 3600, abs=60)
    wanted = {"node": NODE, "namespace": "shop", "since_unix_s": since_unix_s, "limit": MOST_KILLS}
    assert asked[0][1] == wanted
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert capsys.readouterr().out == ""
    assert main(("report", "--html", "-", *words)) == EXIT_OK
    assert capsys.readouterr().out.startswith("<!doctype html>")


def test_a_directory_is_not_written_over(
    node: LookedAtNode, agent: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent()
    assert main(("report", "--html", str(tmp_path), "--state-dir", str(node.state), "--node-name", NODE)) == EXIT_FAILED
    assert "it is a directory): give the name of a file" in capsys.readouterr().err


def test_without_a_file_nothing_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(("report",))
    assert ended.value.code == EXIT_USAGE
    assert "--html" in capsys.readouterr().err
