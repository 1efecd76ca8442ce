"""The same on cgroup v2 with PSI."""

from __future__ import annotations

from tests.kernel.test_pressure import (
    node,
    test_a_container_full_of_page_cache_is_not_reported,
    test_a_leak_beside_page_cache_is_reported_before_it_is_killed,
)

__all__ = [
    "node",
    "test_a_container_full_of_page_cache_is_not_reported",
    "test_a_leak_beside_page_cache_is_reported_before_it_is_killed",
]
