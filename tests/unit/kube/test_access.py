"""What we may do is the API's own word, and an answer that gives none is an error, not a yes or a no."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.kube.access import NEEDED, REVIEWS, Permission, Verdict, review, server_version
from agent.kube.api import Api, ApiRefusedError, ApiUnreachableError, UnbelievableAnswerError
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer

LIST_PODS = Permission("list", "pods")


def answers(server: ApiServer, body: Any) -> None:
    server.faults.add(Fault(How.BODY, body=json.dumps(body).encode()))


def test_what_is_needed_is_what_the_agent_asks_of_the_api() -> None:
    assert [(p.verb, p.full_resource) for p in NEEDED] == [
        ("list", "pods"),
        ("watch", "pods"),
        ("create", "events.events.k8s.io"),
        ("patch", "events.events.k8s.io"),
    ]


def test_a_permission_is_asked_for_without_doing_what_it_is_for(api: Api, server: ApiServer) -> None:
    assert review(api, LIST_PODS) == Verdict(allowed=True, why="")
    assert [(request.verb, request.path) for request in server.requests] == [("create", REVIEWS)]


def test_a_no_comes_with_its_reason(api: Api, server: ApiServer) -> None:
    server.denied = {("list", "pods")}
    assert review(api, LIST_PODS) == Verdict(allowed=False, why="no RBAC policy matched")
    assert review(api, Permission("watch", "pods")).allowed


def test_an_error_of_evaluation_is_part_of_the_reason(api: Api, server: ApiServer) -> None:
    answers(server, {"status": {"allowed": False, "reason": "", "evaluationError": "webhook is away"}})
    assert review(api, LIST_PODS).why == "webhook is away"


@pytest.mark.parametrize(
    "body",
    [{}, [], 7, {"status": None}, {"status": {}}, {"status": {"allowed": "true"}}, {"status": {"allowed": None}}],
)
def test_neither_yes_nor_no_is_not_believed(body: Any, api: Api, server: ApiServer) -> None:
    answers(server, body)
    with pytest.raises(UnbelievableAnswerError, match="does not say whether list pods is allowed"):
        review(api, LIST_PODS)


def test_where_asking_is_forbidden_the_refusal_comes_out(api: Api, server: ApiServer) -> None:
    server.faults.add(Fault(How.STATUS, status=403, reason="Forbidden", message="no reviews"))
    with pytest.raises(ApiRefusedError, match="no reviews"):
        review(api, LIST_PODS)


def test_an_api_that_is_away_is_unreachable(api: Api, server: ApiServer) -> None:
    server.close()
    with pytest.raises(ApiUnreachableError):
        review(api, LIST_PODS)


def test_the_servers_version_is_told(api: Api, server: ApiServer) -> None:
    assert server_version(api) == "v1.36.0-lab"


@pytest.mark.parametrize("body", [{}, [], {"gitVersion": 1}, {"gitVersion": ""}])
def test_something_that_is_no_kubernetes_is_noticed(body: Any, api: Api, server: ApiServer) -> None:
    answers(server, body)
    with pytest.raises(UnbelievableAnswerError, match="is that a Kubernetes API"):
        server_version(api)
