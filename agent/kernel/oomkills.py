"""A kill whose line was seen and what may still be added to it: the members of its group kill.

Owns the making of OomReports from a kill line, its claim and its group. Also knows the kernel's rate limit on dumps, by
which a member of a group is told from the first line of another kill. No parsing, no input or output.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from agent.kernel.oomclaims import Claim
from agent.kernel.oomlines import Killed, Reading
from agent.model import KmsgRecord, OomReport, Victim

RATE_LIMIT_DUMPS = 10
RATE_LIMIT_US = 5_500_000  # DEFAULT_RATELIMIT_INTERVAL is 5 s; jiffies and the printing itself take their share
NO_READING = Reading(None, None)


class DumpLimit:
    """Whether a kill may lack its dump: mm/oom_kill.c's oom_rs lets ten through in 5 s, for the whole node.

    Times are the records' own, and ``now_us`` (CLOCK_MONOTONIC) at their arrival: after a start or a gap nobody knows
    for 5 s, by either clock, what was printed before.
    """

    def __init__(self, now_us: int) -> None:
        self._dumps: deque[int] = deque(maxlen=RATE_LIMIT_DUMPS)
        self._blind_since_us = now_us
        self._first_record_us: int | None = None

    def saw_record(self, at_us: int) -> None:
        """A record came, whatever it is."""
        if self._first_record_us is None:
            self._first_record_us = at_us

    def saw_dump(self, at_us: int) -> None:
        """A dump began."""
        self._dumps.append(at_us)

    def is_first_for_long(self, at_us: int) -> bool:
        """Whether the last dump is so far back that it must have ended."""
        return not self._dumps or at_us - self._dumps[-1] > RATE_LIMIT_US

    def may_bite(self, at_us: int, now_us: int) -> bool:
        """Whether a kill at this time could be without a dump."""
        if len(self._dumps) == RATE_LIMIT_DUMPS and at_us - self._dumps[0] < RATE_LIMIT_US:
            return True
        logged_us = at_us - self._first_record_us if self._first_record_us is not None else 0
        return max(now_us - self._blind_since_us, logged_us) < RATE_LIMIT_US


@dataclass(slots=True)
class Member:
    """A kill line behind ``Tasks in …``; ``sure`` once it can't be the first line of another kill."""

    record: KmsgRecord
    killed: Killed
    sure: bool


@dataclass(slots=True)
class OpenReport:
    """A report that a group kill's lines may still be added to.

    ``killed`` None: only the group's line came, the first victim's was reported before or never seen. ``printed``: the
    pids that its kill lines named. ``loose``: the claim's pid was another than the kill line's.
    ``witness``: the claim, also where it went with a report given before; it tells members from others.
    """

    record: KmsgRecord
    killed: Killed | None
    claim: Claim | None
    printed: set[int]
    last_sequence: int
    loose: bool = False
    witness: Claim | None = None
    group: str | None = None
    members: list[Member] = field(default_factory=list)

    def reading(self) -> Reading:
        """Domain and cgroup as far as claim and kill line leave no doubt."""
        if self.claim is None:
            return NO_READING
        return self.claim.resolve(self.killed.victim.comm if self.killed else None)

    def reports(self, page_bytes: int) -> list[OomReport]:
        """The report, then those group members that may be another's kill, each as a kill of its own."""
        victims: list[Victim] = []
        if self.killed is not None:
            victims.append((self.claim.victim(self.killed) if self.claim else None) or self.killed.victim)
        victims += [member.killed.victim for member in self.members if member.sure]
        own = [self._report(tuple(victims), page_bytes)] if victims else []
        return own + [lone_kill(member) for member in self.members if not member.sure]

    def _report(self, victims: tuple[Victim, ...], page_bytes: int) -> OomReport:
        claim, killed = self.claim, self.killed or self.members[0].killed
        reading = self.reading()
        usage = claim.dump.usage if claim and claim.dump else None
        return OomReport(
            first_sequence=claim.first_sequence if claim else self.record.sequence,
            last_sequence=self.last_sequence,
            at_us=self.record.at_us,
            victims=victims,
            global_oom=killed.global_oom if claim is None or claim.global_oom is None else claim.global_oom,
            oom_memcg=reading.oom_memcg,
            task_memcg=reading.task_memcg,
            group_memcg=self.group,
            limit_bytes=usage.limit_bytes if usage else None,
            usage_bytes=usage.usage_bytes if usage else None,
            tasks=claim.tasks(page_bytes) if claim else (),
            constraint=claim.constraint if claim else None,
        )


def lone_kill(member: Member) -> OomReport:
    """A kill of which only the kill line is known."""
    sequence = member.record.sequence
    return OomReport(
        first_sequence=sequence,
        last_sequence=sequence,
        at_us=member.record.at_us,
        victims=(member.killed.victim,),
        global_oom=member.killed.global_oom,
    )


def kill_without_line(claim: Claim, page_bytes: int) -> OomReport | None:
    """The kill of a claim whose kill line was lost; None when the claim alone doesn't say who died."""
    victim = claim.victim(None)
    if victim is None:
        return None
    reading = claim.resolve(None)
    usage = claim.dump.usage if claim.dump else None
    return OomReport(
        first_sequence=claim.first_sequence,
        last_sequence=claim.record.sequence,
        at_us=claim.record.at_us,
        victims=(victim,),
        global_oom=claim.global_oom,
        oom_memcg=reading.oom_memcg,
        task_memcg=reading.task_memcg,
        limit_bytes=usage.limit_bytes if usage else None,
        usage_bytes=usage.usage_bytes if usage else None,
        tasks=claim.tasks(page_bytes),
        constraint=claim.constraint,
    )
