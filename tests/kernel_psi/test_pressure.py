"""The same with PSI, which measures what is a guess elsewhere. What is read is on the disk: files of the host's are not cached here. That
page cache alone is not reported is not tested here: in the test's 20 s this machine does not read enough to reach the limit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.conftest import Node, make_node
from tests.kernel.test_pressure import (
    Reading,
    reading_from,
    test_a_leak_beside_page_cache_is_reported_before_it_is_killed,
)
from tests.kernel_psi.conftest import DISK

__all__ = ["test_a_leak_beside_page_cache_is_reported_before_it_is_killed"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "cgroupfs", status_delay_s=0.2)
    node.start_agent("--mode-applied-events", "false", "--pressure-events", "all")
    yield node
    node.close()


@pytest.fixture
def reading() -> Reading:
    return lambda instance, mib: reading_from(DISK, instance, mib)
