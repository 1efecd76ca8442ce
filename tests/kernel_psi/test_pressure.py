"""The same with PSI, which measures what is a guess elsewhere. What is read is on the disk: files of the host's are not cached here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kernel.conftest import Node, make_node
from tests.kernel.test_pressure import (
    Reading,
    reading_from,
    test_a_container_full_of_page_cache_is_not_reported,
    test_a_leak_beside_page_cache_is_reported_before_it_is_killed,
)
from tests.kernel_psi.conftest import DISK
from tests.kernel_psi.slow import stat
from tests.lab.cgroups import MOUNT, memory_events
from tests.lab.spec import MIB, Instance

__all__ = [
    "test_a_container_full_of_page_cache_is_not_reported",
    "test_a_leak_beside_page_cache_is_reported_before_it_is_killed",
]
LIMIT_MIB = 64  # of the containers there


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "cgroupfs", status_delay_s=0.2)
    node.start_agent("--mode-applied-events", "false", "--pressure-events", "all")
    yield node
    node.close()


@pytest.fixture
def reading() -> Reading:
    return _reading_the_disk


@contextmanager
def _reading_the_disk(instance: Instance, mib: int) -> Iterator[None]:
    with reading_from(DISK, instance, mib):
        yield
        if mib > LIMIT_MIB:
            assert memory_events(instance.path.rpartition("/")[0])["max"] > 0, (
                "the limit is reached, the pod's or the container's"
            )
            assert stat(MOUNT / instance.path, "file") > 0.75 * LIMIT_MIB * MIB, (
                "page cache fills it, beside the reader itself"
            )
