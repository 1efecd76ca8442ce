"""A kernel that keeps real time from cgroups (CONFIG_RT_GROUP_SCHED): coming first by a deadline, and what that does not give.

A deadline is a share of each 20 ms, and this kernel is so slow a machine's that it may be too little now and then.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.kernel.busy import SCHED_DEADLINE, STARTS, burn, late_starts, policies
from tests.kernel.conftest import RUNTIMES
from tests.kernel.profiled import ProfiledNode, make_profiled_node
from tests.lab import cgroups, profiles


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProfiledNode]:
    node = make_profiled_node(tmp_path_factory.mktemp("node"), "systemd", status_delay_s=0.3)
    node.start(profiles.least())
    burn(node)
    yield node
    node.close()


def test_this_kernel_keeps_real_time_from_cgroups(node: ProfiledNode) -> None:
    cgroups.make("tried")
    leaf = cgroups.MOUNT / "tried" / "leaf"
    leaf.mkdir()
    tried = subprocess.run(["sh", "-c", f"echo $$ > {leaf}/cgroup.procs && exec chrt --rr 1 true"], check=False)
    cgroups.remove("tried")
    assert tried.returncode, "it is to run on a kernel that does: see KERNELS in tests/lab/suite.py"


def test_every_thread_has_a_deadline(node: ProfiledNode) -> None:
    assert policies(node) == {SCHED_DEADLINE}
    assert os.getpriority(os.PRIO_PROCESS, node.agent.pid) == -15


def test_nearly_all_containers_have_their_mode_at_their_first_instruction(node: ProfiledNode) -> None:
    late = late_starts(node, "deadline")
    assert len(late) <= STARTS * len(RUNTIMES) // 4, late
