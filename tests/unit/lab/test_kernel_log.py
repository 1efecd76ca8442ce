"""The kernel's log as the lab's oracle reads it: what the agent records on a real kernel is compared with this."""

from __future__ import annotations

import pytest

from tests.lab.kernel_log import Killed, parse

POD = "kubepods.slice/pod1"
NAMED = "[    9.1] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/{0},task_memcg=/{0}/{1},task={2},pid={3},uid=1000"
KILLED = "[    9.1] Memory cgroup out of memory: Killed process {1} ({0}) total-vm:17056kB, anon-rss:7388kB, UID:1000"
GROUP = "[    9.1] Tasks in /{0}/{1} are going to be killed due to memory.oom.group set"


def test_a_kill_has_the_cgroup_that_the_line_before_names() -> None:
    lines = [NAMED.format(POD, "a/inner", "x,pid=1", 7), KILLED.format("x,pid=1", 7), "[    9.2] something else"]
    assert parse(lines) == [Killed(f"{POD}/a/inner", 7, "x,pid=1")]


def test_of_a_group_each_process_is_there_once_and_the_next_kill_is_no_part_of_it() -> None:
    group = [NAMED.format(POD, "a", "eater", 7), KILLED.format("eater", 7), GROUP.format(POD, "a")]
    others = [KILLED.format("sh", 5), KILLED.format("eater", 7), KILLED.format("helper", 6)]
    next_one = [NAMED.format(POD, "b", "eater", 9), KILLED.format("eater", 9)]
    assert [(one.path[-1], one.pid) for one in parse([*group, *others, *next_one])] == [
        ("a", 7), ("a", 5), ("a", 6), ("b", 9)
    ]  # fmt: skip


def test_a_kill_without_its_cgroup_is_no_truth_to_compare_with() -> None:
    with pytest.raises(ValueError, match="doesn't say which cgroup"):
        parse([NAMED.format(POD, "a", "eater", 7), KILLED.format("eater", 7), KILLED.format("other", 8)])
