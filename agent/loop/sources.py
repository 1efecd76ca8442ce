"""Where the kernel's notifications come from, besides inotify and its log."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from agent.cgroup.files import CgroupFiles
from agent.cgroup.psi import Psi, has_psi
from agent.loop.v1 import V1Counters, V1Pressure
from agent.loop.waiting import Waiting

logger = logging.getLogger("oomward")


@dataclass(frozen=True)
class Sources:
    """``v1`` and ``v1_pressure`` on cgroup v1, ``psi`` on v2 where the kernel has it."""

    waiting: Waiting
    v1: V1Counters | None
    v1_pressure: V1Pressure | None
    psi: Psi | None

    def close(self) -> None:
        for source in (self.v1, self.v1_pressure, self.psi, self.waiting):
            if source is not None:
                source.close()


def sources_of(version: str, files: CgroupFiles) -> Sources:
    """By the version of the memory hierarchy. What can't be followed is said in the log."""
    waiting, mount = Waiting(), files.mount
    if version == "v1":
        return Sources(waiting, V1Counters(mount, logger.warning), V1Pressure(mount, logger.warning), None)
    return Sources(waiting, None, None, Psi(files, waiting, logger.warning) if has_psi() else None)
