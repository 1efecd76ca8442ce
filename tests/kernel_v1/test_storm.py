"""The storm on cgroup v1, whose counters are per cgroup and whose signals come before the kill: the same tests, smaller."""

from tests.kernel.test_storm import (
    node,
    storm,
    test_an_agent_killed_at_any_moment_of_a_storm_misses_no_kill_and_tells_none_twice,
    test_every_kill_of_a_storm_is_counted_on_the_right_container,
)

__all__ = [
    "node",
    "storm",
    "test_an_agent_killed_at_any_moment_of_a_storm_misses_no_kill_and_tells_none_twice",
    "test_every_kill_of_a_storm_is_counted_on_the_right_container",
]
