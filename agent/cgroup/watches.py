"""inotify watches on directories and files of cgroups. inotify(7) on cgroup files: measured on 6.1, 6.12 and 6.18."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from inotify_simple import Event, INotify, flags

from agent.cgroup.errors import GONE
from agent.model import AgentError, parent_of

DIRECTORY = ""
SWITCH = "cgroup.subtree_control"
DIRECTORY_MASK = flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO | flags.ONLYDIR | flags.DONT_FOLLOW
FILE_MASK = flags.MODIFY | flags.DONT_FOLLOW


class Watch(NamedTuple):
    """``file`` is the name of one of the cgroup's files, or DIRECTORY for the directory itself."""

    path: str
    file: str


class NoInotifyError(AgentError):
    """There is no inotify instance: the limit of instances, or of open files, is reached (inotify_init(2))."""


class Watches:
    """``on_trouble`` is called with a sentence for each watch that is refused; a missing file is no trouble. Raises NoInotifyError."""

    def __init__(self, mount: Path, on_trouble: Callable[[str], None]) -> None:
        self._mount = mount
        self._on_trouble = on_trouble
        try:
            self.inotify = INotify(nonblocking=True)
        except OSError as error:
            raise NoInotifyError(
                f"no inotify instance is available ({error.strerror}): other programs of this user have them all. Raise the "
                "limit on the node: sysctl fs.inotify.max_user_instances=1024"
            ) from error
        self._watches: dict[int, Watch] = {}
        self._descriptors: dict[Watch, int] = {}

    def __len__(self) -> int:
        return len(self._watches)

    def __contains__(self, watch: Watch) -> bool:
        return watch in self._descriptors

    def read(self) -> Iterator[tuple[Event, Watch | None]]:
        """The events that inotify has, without waiting, each with its watch; None: it was dropped, or the queue overflowed."""
        for event in self.inotify.read(timeout=0):
            yield event, self._watches.get(event.wd)

    def add(self, path: str, file: str = DIRECTORY) -> bool:
        """Whether this is watched: already or from now on."""
        watch = Watch(path, file)
        if watch in self._descriptors:
            return True
        where = self._mount / path / file if file else self._mount / path
        try:
            descriptor = self.inotify.add_watch(str(where), FILE_MASK if file else DIRECTORY_MASK)
        except OSError as error:
            if error.errno not in GONE:
                self._on_trouble(_explain(error, str(where)))
            return False
        # A directory that was renamed keeps its watch: the descriptor is that of its old name.
        self._descriptors.pop(self._watches.get(descriptor, watch), None)
        self._watches[descriptor] = watch
        self._descriptors[watch] = descriptor
        return True

    def add_files(self, path: str, files: Iterable[str]) -> list[str]:
        """Watch these files of a cgroup; returns those that were not watched before and are now.

        A controller's files come and go without a notification, but the file above is written for it: that is watched, too.
        """
        missing = [file for file in files if Watch(path, file) not in self]
        watched = [file for file in missing if self.add(path, file)]
        if self.add(parent_of(path), SWITCH):
            watched += [file for file in missing if file not in watched and self.add(path, file)]
        return watched

    def add_again(self, path: str, files: Iterable[str]) -> list[str]:
        """Watch the files that have these names now; returns those that are others than before."""
        return [file for file in files if self._add_again(Watch(path, file))]

    def _add_again(self, watch: Watch) -> bool:
        before = self._descriptors.pop(watch, None)
        if before is not None:
            del self._watches[before]
        self.add(*watch)
        now = self._descriptors.get(watch)
        if before not in (None, now):
            self._remove(before)
        return now not in (None, before)

    def drop(self, watch: Watch) -> None:
        """Remove this watch, if there is one."""
        descriptor = self._descriptors.pop(watch, None)
        if descriptor is None:
            return
        del self._watches[descriptor]
        self._remove(descriptor)

    def _remove(self, descriptor: int | None) -> None:
        try:
            self.inotify.rm_watch(descriptor)
        except OSError as error:
            # The kernel drops the watch with the inode, and reports that for directories only (measured, 6.18), since 7 for files too.
            if error.errno != errno.EINVAL:
                raise


def _explain(error: OSError, where: str) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"no inotify watch is available for {where}: the limit of watches is reached, changes below it are seen at the full "
            "resync only; raise it on the node: sysctl fs.inotify.max_user_watches=1048576"
        )
    return (
        f"no inotify watch is available for {where}: {error.strerror}; changes there are seen at the full resync only"
    )
