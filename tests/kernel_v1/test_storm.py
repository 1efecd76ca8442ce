"""The storm on cgroup v1, whose counters are per cgroup and whose signals come before the kill: the same tests, smaller."""

from tests.kernel.test_storm import (
    node,
    storm,
    test_every_kill_of_a_storm_is_counted_on_the_right_container,
    test_with_the_agent_absent_killed_and_stopped_in_between_no_kill_is_missed_or_reported_twice_or_falsely,
)

__all__ = [
    "node",
    "storm",
    "test_every_kill_of_a_storm_is_counted_on_the_right_container",
    "test_with_the_agent_absent_killed_and_stopped_in_between_no_kill_is_missed_or_reported_twice_or_falsely",
]
