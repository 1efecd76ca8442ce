"""What filled a limit on cgroup v1: by the report, or by v1's own files right after the kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.conftest import Node, make_node
from tests.kernel.test_filled import files_fill_it_and_stay, processes_fill_the_limit


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "cgroupfs", status_delay_s=0.3)
    node.start_agent()
    yield node
    node.close()


def test_processes_fill_the_limit(node: Node) -> None:
    processes_fill_the_limit(node)


def test_files_in_memory_fill_it_and_stay_after_the_kill(node: Node) -> None:
    files_fill_it_and_stay(node)
