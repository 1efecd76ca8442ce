"""inotify watches on directories and files of cgroups, by what they are of. inotify(7) on cgroup files: measured on 6.1, 6.12 and 6.18.

Owns the inotify instance. Trouble is reported in a sentence, and a file that isn't there is none.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from inotify_simple import Event, INotify, flags

from agent.model import AgentError

DIRECTORY = ""
DIRECTORY_MASK = flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO | flags.ONLYDIR | flags.DONT_FOLLOW
FILE_MASK = flags.MODIFY | flags.DONT_FOLLOW
MISSING = (errno.ENOENT, errno.ENODEV, errno.ENOTDIR)


class Watch(NamedTuple):
    """``file`` is the name of one of the cgroup's files, or DIRECTORY for the directory itself."""

    path: str
    file: str


class NoInotifyError(AgentError):
    """There is no inotify instance: the limit of instances, or of open files, is reached (inotify_init(2))."""


class Watches:
    """``mount`` is where the cgroups are. ``on_trouble`` is called with why something can't be watched. Raises NoInotifyError."""

    def __init__(self, mount: Path, on_trouble: Callable[[str], None]) -> None:
        self._mount = mount
        self._on_trouble = on_trouble
        try:
            self.inotify = INotify(nonblocking=True)
        except OSError as error:
            raise NoInotifyError(
                f"no inotify instance to be had ({error.strerror}): other programs of this user hold them all. Raise the limit "
                "on the node: sysctl fs.inotify.max_user_instances=1024"
            ) from error
        self._watches: dict[int, Watch] = {}
        self._descriptors: dict[Watch, int] = {}

    def __len__(self) -> int:
        return len(self._watches)

    def __contains__(self, watch: Watch) -> bool:
        return watch in self._descriptors

    def read(self) -> list[Event]:
        """What inotify has, without waiting."""
        return list(self.inotify.read(timeout=0))

    def of(self, descriptor: int) -> Watch | None:
        """The watch of an event; None: it was dropped."""
        return self._watches.get(descriptor)

    def add(self, path: str, file: str = DIRECTORY) -> bool:
        """Whether this is watched, from now on or already."""
        watch = Watch(path, file)
        if watch in self._descriptors:
            return True
        where = self._mount / path / file if file else self._mount / path
        try:
            descriptor = self.inotify.add_watch(str(where), FILE_MASK if file else DIRECTORY_MASK)
        except OSError as error:
            if error.errno not in MISSING:
                self._on_trouble(_explain(error, str(where)))
            return False
        # A directory that was renamed keeps its watch: the descriptor is that of its old name.
        self._descriptors.pop(self._watches.get(descriptor, watch), None)
        self._watches[descriptor] = watch
        self._descriptors[watch] = descriptor
        return True

    def drop(self, watch: Watch) -> None:
        """It is watched no longer, if it was."""
        descriptor = self._descriptors.pop(watch, None)
        if descriptor is None:
            return
        del self._watches[descriptor]
        try:
            self.inotify.rm_watch(descriptor)
        except OSError as error:
            # The kernel drops the watch with the inode, and notifies of that for directories only (measured, 6.18), since 7 for files too.
            if error.errno != errno.EINVAL:
                raise


def _explain(error: OSError, where: str) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"no inotify watch to be had for {where}: the limit of watches is reached, changes below it are seen at the slow "
            "resync only; raise it on the node: sysctl fs.inotify.max_user_watches=1048576"
        )
    return f"no inotify watch to be had for {where}: {error.strerror}; changes there are seen at the slow resync only"
