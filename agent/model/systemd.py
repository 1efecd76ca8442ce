"""systemd's part in an OOM kill: the OOMPolicy of the scope that a container runs in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# From this version on systemd stops a scope with OOMPolicy=kill only after a group kill (systemd PR 38906).
KILL_NEEDS_GROUP = 259


class OomPolicy(StrEnum):
    """What systemd does after an OOM kill in a scope (systemd.scope(5), since 253)."""

    CONTINUE = "continue"  # nothing
    STOP = "stop"  # it stops the scope: SIGTERM to every process, SIGKILL later
    KILL = "kill"  # memory.oom.group is 1; before 259 it stops the scope after each kill, whatever memory.oom.group is


@dataclass(frozen=True, slots=True)
class ScopePolicy:
    """The policy of one scope, read from systemd's files.

    ``policy`` is in force; ``after_reload`` will be after a daemon-reload, because files have changed since systemd read them.
    ``decided_by`` is the deciding file's path on the node, "" if no file sets it. ``systemd`` is its major version, None: not known.
    ``whole`` False: the files below /etc and /usr are not visible to us, so a drop-in there is not known.
    """

    scope: str
    policy: OomPolicy
    decided_by: str = ""
    after_reload: OomPolicy | None = None
    systemd: int | None = None
    whole: bool = True

    @property
    def stops_survivors(self) -> bool:
        """Whether systemd stops the scope after the OOM kill of a single process. True also if only the version could deny it."""
        if self.policy is OomPolicy.KILL:
            return self.systemd is None or self.systemd < KILL_NEEDS_GROUP
        return self.policy is OomPolicy.STOP
