"""Which Event counts a kill, and when its new count is told: the first kill at once, those that follow at widening intervals.

Pure but for what it remembers: notices in, notices out. An Event's text can't change later, so that a series ends
when nothing happened for a while, or after an hour, and the next kill begins another with words of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agent.model import Notice

QUIET_S = 600.0
LONGEST_S = 3600.0
FIRST_INTERVAL_S = 10.0
LONGEST_INTERVAL_S = 600.0


class Series:
    """``kept`` are the ledger's series of late, the newest last: what was counted before a restart is counted on."""

    def __init__(self, kept: Iterable[Notice]) -> None:
        self._notices: dict[str, Notice] = {}
        self._newest: dict[str, str] = {}
        self._due_s: dict[str, float] = {}
        for notice in kept:
            self._keep(notice)
            self._newest[notice.group] = notice.name

    def _keep(self, notice: Notice) -> Notice:
        self._notices[notice.name] = notice
        return notice

    def join(self, notice: Notice) -> Notice:
        """The Event that counts it: the one that is open, with its count raised, or else ``notice`` itself.

        As long as the API has not been told, the words are the newest.
        """
        before = self._notices.get(self._newest.get(notice.group, ""))
        if before is None or not _is_open(before, notice.last_unix_s):
            self._newest[notice.group] = notice.name
            return self._keep(notice)
        return self._keep(
            replace(
                before,
                note=before.note if before.sent_count else notice.note,
                count=before.count + notice.count,
                last_at_unix_s=max(before.last_unix_s, notice.last_unix_s),
            )
        )

    def told(self, name: str, count: int, now_s: float) -> Notice | None:
        """The API was told of so many; returns the Event as it is now. None: it is no series that may still grow.

        What is counted from now on is due after a while: 10 s, and twice as long each time, up to 10 minutes.
        """
        notice = self._notices.get(name)
        if notice is None:
            return None
        interval_s = min(FIRST_INTERVAL_S * 2**notice.requests, LONGEST_INTERVAL_S)
        self._due_s[name] = now_s + interval_s
        return self._keep(replace(notice, sent_count=max(count, notice.sent_count), requests=notice.requests + 1))

    def waits(self, name: str) -> bool:
        """Whether it was told of so lately that its new count has to wait."""
        return name in self._due_s

    def due_s(self) -> float | None:
        """When the next new count may be told; None: there is none that waits."""
        return min((at_s for name, at_s in self._due_s.items() if self._grew(name)), default=None)

    def ripe(self, now_s: float) -> list[Notice]:
        """New counts that may be told now. Those that did not grow don't wait any more, once they do."""
        ripe = [name for name, at_s in self._due_s.items() if at_s <= now_s]
        for name in ripe:
            del self._due_s[name]
        return [self._notices[name] for name in ripe if self._grew(name)]

    def untold(self) -> set[str]:
        """Names of the Events whose count the API doesn't know yet."""
        return set(filter(self._grew, self._notices))

    def _grew(self, name: str) -> bool:
        return self._notices[name].sent_count < self._notices[name].count

    def end(self, name: str) -> None:
        """The API will not have it: the next kill begins another."""
        notice = self._notices.pop(name, None)
        self._due_s.pop(name, None)
        if notice is not None and self._newest.get(notice.group) == name:
            del self._newest[notice.group]

    def forget(self, now_unix_s: float) -> None:
        """Those that nothing joins any more and that are told to their end."""
        for notice in list(self._notices.values()):
            if notice.sent_count >= notice.count and not _is_open(notice, now_unix_s):
                self.end(notice.name)


def _is_open(notice: Notice, now_unix_s: float) -> bool:
    """One that lies in the future is not: the clock was set back, and it would have no end for as long."""
    return abs(now_unix_s - notice.last_unix_s) <= QUIET_S and abs(now_unix_s - notice.at_unix_s) <= LONGEST_S
