"""A part of the oracle that fails is a failed run, not a run that saw nothing wrong."""

from __future__ import annotations

import pytest

from tests.soak.thread import OracleThread


def fail() -> None:
    raise KeyError("VmRSS")


def test_what_ended_a_thread_of_the_oracle_is_raised() -> None:
    thread = OracleThread("watcher", fail)
    thread.start()
    thread.join()
    with pytest.raises(KeyError, match="VmRSS"):
        thread.check()


def test_one_that_ran_to_its_end_is_well() -> None:
    thread = OracleThread("watcher", lambda: None)
    thread.start()
    thread.join()
    thread.check()
