"""What is remembered of removed and ended containers is shared by the pods: nobody's very many push out another's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import classify
from agent.model import Cgroup
from agent.pods import lookup as lookup_module
from agent.pods.lookup import Lookup
from agent.pods.registry import Registry


def cgroup(pod: int, container: int) -> Cgroup:
    uid = f"{pod:08d}-1111-2222-3333-444444444444"
    return Cgroup(classify(f"kubepods/pod{uid}/{container:064x}"), pod * 10_000 + container)


@pytest.fixture
def lookup(monkeypatch: pytest.MonkeyPatch) -> Lookup:
    monkeypatch.setattr(lookup_module, "MOST_ENDED", 10)
    monkeypatch.setattr(lookup_module, "MOST_LIMITS", 10)
    files = SimpleNamespace(is_whole=True, populated=lambda _: True, limit_bytes=lambda of: of.inode)
    cgroups = {each.path: each for each in [cgroup(1, 1), *(cgroup(2, number) for number in range(50))]}
    return Lookup(cast(CgroupFiles, files), Registry(), lambda: cgroups, {}, lambda _: None)


def test_that_the_agent_ended_a_container_is_known_however_many_of_another_pod_it_ends(lookup: Lookup) -> None:
    lookup.ending(cgroup(1, 1))
    for number in range(50):
        lookup.ending(cgroup(2, number))
    assert lookup.ended_by_agent(cgroup(1, 1).inode) is True
    assert [lookup.ended_by_agent(cgroup(2, number).inode) for number in (0, 49)] == [None, True]


def test_the_limit_of_a_removed_container_is_known_however_many_another_pod_has(lookup: Lookup) -> None:
    assert lookup.limit_bytes(cgroup(1, 1).path) == 10_001
    for number in range(50):
        lookup.limit_bytes(cgroup(2, number).path)
    lookup._cgroups().pop(cgroup(1, 1).path)  # type: ignore[attr-defined]
    assert lookup.limit_bytes(cgroup(1, 1).path) == 10_001
    assert len(lookup._limits) == 10
