"""The times of a kill in the kernel's log, the agent's log and the API's store.

All times are CLOCK_MONOTONIC in seconds. The kernel's own clock ticks every 10 ms on User-Mode Linux and its times are
rounded down to the tick, so a time from a kill on is up to 10 ms too long there, never too short.
"""

from __future__ import annotations

import os
import re
import selectors
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from tests.lab.agent_process import AgentProcess
from tests.lab.apistore import Json, Store

KILLED = re.compile(rb"\d+,\d+,(\d+),[^;]*;.*Killed process (\d+) ")  # prio,seq,usec,flags;text
LOOKS = 8  # comparisons of the two clocks: few enough that the kernel logs all of them
LOOK_EVERY_S = 0.01125  # so that they fall into different parts of a tick


class KernelKills(threading.Thread):
    """Times of the ``Killed process`` records in the kernel's log from now on, by the victim's pid; the last one per pid."""

    def __init__(self) -> None:
        super().__init__(name="kernel kills", daemon=True)
        self.at_s: dict[int, float] = {}
        self.lost = 0
        self._log = os.open("/dev/kmsg", os.O_RDWR | os.O_NONBLOCK)
        os.lseek(self._log, 0, os.SEEK_END)
        self._ahead_s = self._clocks()
        self._stopping = os.eventfd(0)
        self.start()

    def _clocks(self) -> float:
        """How far CLOCK_MONOTONIC is ahead of the log's clock: the least measured, since the log's is rounded down to a tick."""
        seen = []
        for _ in range(LOOKS):
            now = time.monotonic()
            os.write(self._log, b"oomward bench: comparing clocks\n")
            seen += [now - int(record.split(b",")[2]) / 1e6 for record in self._records() if b"comparing" in record]
            time.sleep(LOOK_EVERY_S)
        return min(seen)

    def _records(self) -> Iterable[bytes]:
        while True:
            try:
                yield os.read(self._log, 8192)
            except BlockingIOError:
                return
            except BrokenPipeError:
                self.lost += 1

    def run(self) -> None:
        """Until end()."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._log, selectors.EVENT_READ)
            selector.register(self._stopping, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                for record in self._records():
                    if (match := KILLED.match(record)) is not None:
                        self.at_s[int(match[2])] = int(match[1]) / 1e6 + self._ahead_s
                if self._stopping in ready:
                    return

    def end(self) -> None:
        """Read the rest of the log, and stop."""
        os.eventfd_write(self._stopping, 1)
        self.join()
        os.close(self._log)
        os.close(self._stopping)


@dataclass(frozen=True, slots=True)
class Accepted:
    """One accepted create or patch of an Event."""

    at_s: float
    name: str
    pod: str
    reason: str
    count: int


class TimedStore(Store):
    """The API's store, which also records when each Event was accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted: list[Accepted] = []

    def put_event(self, event: Json) -> Json:
        stored = super().put_event(event)
        count = event.get("series", {"count": 1})["count"]
        self.accepted.append(
            Accepted(
                time.monotonic(), event["metadata"]["name"], event["regarding"]["name"], event["reason"], int(count)
            )
        )
        return stored

    def first_of(self, pod: str) -> Accepted | None:
        """The first Event about a kill in this pod."""
        return next((a for a in list(self.accepted) if a.pod == pod and "OOMKilled" in a.reason), None)


@dataclass(frozen=True, slots=True)
class Line:
    """A log line of a kill. ``pid`` None: the kernel's log did not name the victim."""

    at_s: float
    kill_id: str
    pod: str
    container_id: str
    pid: int | None


def lines_of(agent: AgentProcess) -> list[Line]:
    """The agent's log lines of kills, their own times turned into this clock's."""
    ahead_s = time.time() - time.monotonic()
    return [
        Line(
            datetime.fromisoformat(str(line["time"])).timestamp() - ahead_s,
            str(line["kill_id"]),
            str(line["pod"]),
            str(line["container_id"]),
            _first_pid(line["victims"]),
        )
        for line in agent.log_lines(event="oom_kill")
    ]


def _first_pid(victims: object) -> int | None:
    first = victims[0] if isinstance(victims, list) and victims else {}
    return first.get("pid")


def after_kill(lines: Iterable[Line], killed: dict[int, float]) -> list[float]:
    """From the kernel's kill to the line, for lines with a named and known victim."""
    return [line.at_s - killed[line.pid] for line in lines if line.pid is not None and line.pid in killed]


def first_events(lines: Iterable[Line], killed: dict[int, float], store: TimedStore) -> list[float]:
    """From the first kill of each pod to the first Event of it."""
    firsts: dict[str, float] = {}
    for line in lines:
        if line.pid is not None and line.pid in killed:
            firsts[line.pod] = min(firsts.get(line.pod, float("inf")), killed[line.pid])
    found = ((at_s, store.first_of(pod)) for pod, at_s in firsts.items())
    return [accepted.at_s - at_s for at_s, accepted in found if accepted is not None]


def kill_lines(agent: AgentProcess) -> int:
    """The number of log lines of kills; cheaper than reading them."""
    return agent.log_path.read_bytes().count(b'"event": "oom_kill",')


def wait_until(condition: Callable[[], object], seconds: float, what: str, every_s: float = 0.02) -> None:
    """Until the condition is met. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not {what} within {seconds:.0f} s")
        time.sleep(every_s)
