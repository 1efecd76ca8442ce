"""A process's cost is read from /proc; one that has ended is said to have ended, whatever is left of it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.bench.processes import usage
from tests.soak.probe import anonymous_bytes


@pytest.mark.parametrize("read", [usage, anonymous_bytes])
def test_a_process_that_has_ended_and_was_not_waited_for_is_an_error_of_the_system(
    read: Callable[[int], object],
) -> None:
    assert read(os.getpid())
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        with pytest.raises(ProcessLookupError):
            read(pid)
    finally:
        os.waitpid(pid, 0)
