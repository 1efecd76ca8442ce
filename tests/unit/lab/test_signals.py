"""A signal reaches one process of the lab, or none; never the lab itself."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.lab.signals import send


def test_a_signal_reaches_the_process() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        send(process.pid)
        assert process.wait(30) == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        send(process.pid)


@pytest.mark.parametrize("pid", [0, -1])
def test_the_pid_of_a_container_that_has_ended_is_nobodys(pid: int) -> None:
    sent: list[int] = []
    before = signal.signal(signal.SIGURG, lambda number, _: sent.append(number))  # would reach this process, too
    try:
        with pytest.raises(ProcessLookupError):
            send(pid, signal.SIGURG)
    finally:
        signal.signal(signal.SIGURG, before)
    assert sent == []
