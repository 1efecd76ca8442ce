"""What filled a limit on cgroup v1: by the report, or by v1's own files right after the kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.model import Filled, Scope
from agent.wording.filled import filled_by
from tests.kernel.conftest import FAMILY, Node, make_node
from tests.kernel.test_filled import TMPFS, main, run
from tests.lab.spec import MIB, Container


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "cgroupfs", status_delay_s=0.3)
    node.start_agent()
    yield node
    node.close()


def test_processes_fill_the_limit(node: Node) -> None:
    kill, note = run(node, "processes", Container("main", FAMILY, 64))
    assert (filled_by(kill), kill.scope) == (Filled.PROCESSES, Scope.CONTAINER)
    assert kill.use is not None
    assert "Raise the limit from 64Mi to 96Mi" in note


def test_files_in_memory_fill_it_and_stay_after_the_kill(node: Node) -> None:
    kill, note = run(node, "files", main(TMPFS, memory_volume="cache"))
    assert filled_by(kill) is Filled.SHARED
    assert kill.use is not None
    assert (kill.use.shmem or 0) > 32 * MIB
    assert "files in emptyDir cache (in memory, no sizeLimit) count toward the limit" in note
