"""The rights that docs/howto/fleet.md grants are those that the commands use: each of them, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from tests.lab.apihandler import Request
from tests.lab.fleet import Cluster
from tests.unit.docs.pages import ROOT
from tests.unit.fleet.conftest import Oomward

PAGE = (ROOT / "docs" / "howto" / "fleet.md").read_text()
Right = tuple[str, str, str]  # API group, resource, verb


def granted() -> set[Right]:
    (block,) = re.findall(r"```yaml\n(apiVersion: rbac.*?)```", PAGE, re.DOTALL)
    return {
        (group, resource, verb)
        for role in yaml.safe_load_all(block)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(request: Request) -> Iterator[Right]:
    parts = request.path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    rest = rest[2:] if rest[0] == "namespaces" else rest
    if rest[2:] == ["exec"]:
        yield from ((group, "pods/exec", verb) for verb in ("get", "create"))  # the second since Kubernetes 1.35
    else:
        yield group, rest[0], "get" if len(rest) > 1 else "list"


def test_the_commands_use_the_rights_that_the_page_grants_and_no_other(oomward: Oomward, cluster: Cluster) -> None:
    for words in (
        ("ps", "-n", "shop", "-l", "app=web"),
        ("top", "-A"),
        ("history", "-A"),
        ("explain", "shop/web-1-0"),
        ("diagnose", "shop/web-1-0"),
        ("diagnose", "-A"),
        ("advise", "-A"),
        ("check",),
        ("events", "-A"),
        ("events", "-n", "shop"),
    ):
        assert oomward(*words).code == 0, words
    assert {right for request in cluster.server.requests for right in used(request)} == granted()


def test_exec_is_granted_in_the_agents_namespace_only() -> None:
    (block,) = re.findall(r"```yaml\n(apiVersion: rbac.*?)```", PAGE, re.DOTALL)
    roles = {role["kind"]: role for role in yaml.safe_load_all(block)}
    assert roles["Role"]["metadata"]["namespace"] == "oomward"
    assert "exec" not in str(roles["ClusterRole"])


def test_the_example_is_what_the_page_grants() -> None:
    (block,) = re.findall(r"```yaml\n(apiVersion: rbac.*?)```", PAGE, re.DOTALL)
    example = (ROOT / "manifests" / "examples" / "fleet" / "rights.yaml").read_text()
    assert example.partition("\n")[2] == block
