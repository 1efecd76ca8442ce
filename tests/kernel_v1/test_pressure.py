"""The same on cgroup v1, which signals reclaim (memory.pressure_level), to the pod's cgroup as well."""

from __future__ import annotations

from tests.kernel.test_pressure import (
    node,
    reading,
    test_a_container_full_of_page_cache_is_not_reported,
    test_a_leak_beside_page_cache_is_reported_before_it_is_killed,
    test_what_is_asked_for_a_stall_can_not_be_done_here_and_is_said_to_be,
)

__all__ = [
    "node",
    "reading",
    "test_a_container_full_of_page_cache_is_not_reported",
    "test_a_leak_beside_page_cache_is_reported_before_it_is_killed",
    "test_what_is_asked_for_a_stall_can_not_be_done_here_and_is_said_to_be",
]
