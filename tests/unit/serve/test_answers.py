"""The answers: from the loop's state and the files; what can't be answered is refused with a sentence, and the agent goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from agent.cgroup.files import CgroupFiles
from agent.commands.survey import survey
from agent.look import containers
from agent.model import StateAsked
from agent.pods.registry import Registry
from agent.pods.state import NodeState
from agent.serve import protocol
from agent.serve.answers import NOT_LISTED, Answers
from agent.serve.protocol import FailedError, RefusedError
from agent.wording.view import Shown
from tests.lab.apiserver import ApiServer
from tests.unit.commands.world import LookedAtNode, a_kill
from tests.unit.profiles import examples


@pytest.fixture
def node(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[LookedAtNode]:
    server = ApiServer()
    server.start()
    found = LookedAtNode(tmp_path, server, monkeypatch)
    found.remember(a_kill(1), a_kill(2))
    yield found
    server.close()


@pytest.fixture
def answers(node: LookedAtNode) -> Iterator[Answers]:
    """With the state that an agent's loop would have."""
    with survey(node.settings) as found:
        state = NodeState(dict(found.cgroups), found.registry, found.settings.rules)
        files = lambda: CgroupFiles(found.hierarchy.memory_mount, found.hierarchy.version)  # noqa: E731
        yield Answers(node.settings, found.hierarchy, files, lambda asked: asked.answer(state))


def answer(answers: Answers, command: str, **arguments: Any) -> Shown:
    return protocol.read_answer(answers.answer(protocol.request_line(command, arguments, document=True)))


def test_each_command_is_answered(answers: Answers) -> None:
    ps, explain = answer(answers, "ps"), answer(answers, "explain", pod="herder-1")
    assert [row["pod"] for row in (ps.document or {})["containers"]] == ["herder-1"]
    assert (explain.document or {})["pods"][0]["pod"] == "herder-1"
    assert answer(answers, "diagnose", pod=None).document == {"oomward": 1, "diagnoses": []}
    assert [row["workload"] for row in (answer(answers, "advise", since_unix_s=None).document or {})["workloads"]] == [
        "herder-1"
    ]
    assert len((answer(answers, "history", limit=1).document or {})["kills"]) == 1


@pytest.mark.parametrize(
    ("command", "arguments", "why"),
    [
        ("ps", {"node": "node-2"}, "this agent's node is node-1"),
        ("ps", {"colour": "red"}, "does not know"),
        ("history", {"limit": 0}, "limit is not a whole number"),
        ("history", {"limit": True}, "limit is not a whole number"),
        ("history", {"limit": 5, "since_unix_s": "6h"}, "since_unix_s is not a number"),
        ("history", {"limit": 5, "since_unix_s": float("nan")}, "since_unix_s is not a number"),
        ("history", {"limit": 5, "pod": ["a"]}, "pod is not a text"),
        ("explain", {"pod": "x" * 1001}, "pod is not a text"),
        ("explain", {}, "explain needs a pod"),
        ("advise", {"since_unix_s": -1}, "since_unix_s is not a number"),
        ("advise", {"since_unix_s": 1e300}, "since_unix_s is not a number of seconds before the year 10000"),
        ("history", {"limit": 5, "since_unix_s": 10**400}, "since_unix_s is not a number of seconds before"),
        ("ps", {"since_unix_s": 60}, "does not know"),
    ],
)
def test_arguments_that_are_not_as_they_should_be_are_refused(
    answers: Answers, command: str, arguments: dict[str, Any], why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        answer(answers, command, **arguments)


LIMITS = st.integers(1, 10) | st.integers(1, 10**400)
NUMBERS = st.one_of(LIMITS, st.integers(), st.floats(), st.floats(0, 1e300), st.floats(0, 1e12))
TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["shop", "herder-1", "shop/herder-1", "app=web", "!app", "kills"]
)
ANY = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.lists(TEXTS, max_size=2))


@given(
    st.sampled_from(protocol.COMMANDS),
    st.dictionaries(st.sampled_from(["pod", "namespace", "selector", "sort_by", "node"]), TEXTS | ANY, max_size=3),
    LIMITS | ANY,
    NUMBERS | ANY,
)
@examples(200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_the_arguments_are_the_agent_answers_or_says_which_one_is_wrong(
    answers: Answers, command: str, arguments: dict[str, Any], limit: Any, since: Any
) -> None:
    if command == "history":
        arguments = arguments | {"limit": limit}
    if command in ("history", "advise"):
        arguments = arguments | {"since_unix_s": since}
    said = answers.answer(protocol.request_line(command, arguments, document=False))
    assert b"failed at it" not in said


def test_any_limit_is_answered_while_there_are_not_more_kills_than_the_agent_sends(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.serve.answers.MOST_KILLS", 2)
    found = answer(answers, "history", limit=10**9)
    assert (len((found.document or {})["kills"]), found.troubles) == (2, [])
    monkeypatch.setattr("agent.serve.answers.MOST_KILLS", 1)
    assert len((answer(answers, "history", limit=1).document or {})["kills"]) == 1
    with pytest.raises(RefusedError, match="at most 1 kills"):
        answer(answers, "history", limit=10**9)


def test_a_command_that_fails_says_the_same_as_without_an_agent(answers: Answers) -> None:
    with pytest.raises(FailedError, match="no pod nobody on node node-1"):
        answer(answers, "explain", pod="nobody")


def test_the_pods_that_are_asked_for_are_those_that_are_answered(answers: Answers) -> None:
    def kills(**asked: Any) -> int:
        return len((answer(answers, "history", limit=9, **asked).document or {})["kills"])

    assert (kills(), kills(selector="!app"), kills(selector="app"), kills(namespace="shop")) == (2, 2, 0, 0)
    for command, rows in (("ps", "containers"), ("advise", "workloads"), ("diagnose", "diagnoses")):
        assert (answer(answers, command, namespace="shop").document or {})[rows] == []
    with pytest.raises(FailedError, match="no pod herder-1 in namespace shop on node node-1"):
        answer(answers, "explain", pod="herder-1", namespace="shop")


@pytest.mark.parametrize("command", ["ps", "history"])
def test_a_selector_that_cannot_be_read_is_a_wrong_argument(answers: Answers, command: str) -> None:
    with pytest.raises(FailedError, match="--selector: character") as caught:
        answer(answers, command, selector="a b", **({"limit": 1} if command == "history" else {}))
    assert caught.value.usage
    with pytest.raises(FailedError, match="no column colour") as caught:
        answer(answers, "ps", sort_by="colour")
    assert not caught.value.usage


def test_a_loop_that_does_not_answer_is_a_refusal(answers: Answers) -> None:
    answers.ask, answers.loop_wait_s = lambda _: None, 0.01
    with pytest.raises(RefusedError, match="loop did not answer"):
        answer(answers, "ps")


def test_a_fault_of_ours_is_logged_and_refused(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> Shown:
        raise KeyError("oh")

    monkeypatch.setattr(containers, "containers", fails)
    with pytest.raises(RefusedError, match="its log says why"):
        answer(answers, "ps")
    assert "KeyError" in caplog.text


def test_before_the_api_has_answered_the_agent_says_so(answers: Answers) -> None:
    cgroups: list[NodeState] = []
    answers.ask(StateAsked(cgroups.append))
    unlisted = NodeState(cgroups[0].cgroups, Registry(), cgroups[0].rules)
    answers.ask = lambda asked: asked.answer(unlisted)
    assert NOT_LISTED in answer(answers, "ps").troubles
    with pytest.raises(FailedError, match="the API is not reachable"):
        answer(answers, "diagnose", pod=None)
