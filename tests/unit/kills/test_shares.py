"""Kills whose reports are late: one tenant's very many do not cost another the names of its victims."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from agent.cgroup.layout import classify
from agent.kills.facts import Facts
from agent.kills.follow_up import MOST_UNDETAILED, FollowUp
from agent.kills.pending_reports import PendingReports
from agent.model import Cgroup
from tests.unit.wording.kills import KILL

HONEST, MANY = f"kubepods/pod{'1' * 32}/{'a' * 64}", f"kubepods/pod{'2' * 32}/{'b' * 64}"


def test_very_many_kills_of_one_tenant_without_reports_do_not_push_out_anothers() -> None:
    follow_up = FollowUp(cast(Facts, None), PendingReports(lambda path: path))
    open_kill = replace(KILL, victims=(), outcome=None, container_id="a" * 64, cgroup_path=HONEST)
    follow_up.follow(open_kill, Cgroup(classify(HONEST), 1), 0.0, kmsg=False, old=False)
    for ordinal in range(5 * MOST_UNDETAILED):
        many = replace(open_kill, namespace="many", pod="many", cgroup_path=MANY, cgroup_inode=2, ordinal=ordinal)
        follow_up.follow(many, Cgroup(classify(MANY), 2), 0.0, kmsg=False, old=False)
    assert follow_up.undetailed(HONEST) == 1
    assert follow_up.undetailed(MANY) == MOST_UNDETAILED - 1
