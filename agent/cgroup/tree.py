"""Which cgroups are there, and what changes in them, as TreeEvents: from inotify (read), and from a look at everything (scan).

Reads no control file and writes none. On v1 only directories are watched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

from inotify_simple import flags

from agent.cgroup.files import OOM_GROUP, CgroupError, CgroupFiles
from agent.cgroup.layout import MAX_ROOT_DEPTH, RUNTIME_CHILD, classify, may_hold_roots, path_of
from agent.cgroup.watches import DIRECTORY, SWITCH, Watch, Watches
from agent.model import (
    VANISHED,
    Cgroup,
    CgroupAppeared,
    CgroupGone,
    CgroupKind,
    CgroupMissed,
    CountersTouched,
    OomGroupTouched,
    TreeEvent,
    TreeOverflowed,
    Vanished,
    is_inside,
    parent_of,
)

TRACKED = (CgroupKind.KUBEPODS, CgroupKind.QOS, CgroupKind.POD, CgroupKind.CONTAINER, CgroupKind.NESTED)
COUNTED = (CgroupKind.KUBEPODS, CgroupKind.POD, CgroupKind.CONTAINER)
EVENTS = "memory.events"
MAX_DEPTH = 32  # of a path on v1: what a workload nests deeper is not followed
OVERFLOW = (
    "inotify's queue overflowed, so a full resync follows; if that happens often, raise it on the node: "
    "sysctl fs.inotify.max_queued_events"
)
T = TypeVar("T")


class Tree:
    """``root_override``: only these paths are looked into; empty: every kubepods root down to ``max_depth`` levels.

    ``cgroups``: the live ones by path: kubepods roots, QoS levels, pods, containers, and the runtime's children of those.
    ``unnotified``: paths that the last scan found new or removed and that no notification has named yet. Raises NoInotifyError.
    """

    def __init__(
        self, files: CgroupFiles, *, root_override: tuple[str, ...] = (), max_depth: int = MAX_ROOT_DEPTH
    ) -> None:
        self._files = files
        self._max_depth = max_depth
        self._override = tuple(root.strip("/") for root in root_override)
        self._watches = Watches(files.mount, self._fail)
        self._files_of = {kind: (OOM_GROUP, EVENTS) if kind in COUNTED else (OOM_GROUP,) for kind in TRACKED}
        if files.version == "v1":
            self._files_of.clear()
        self._directories: dict[str, int] = {}  # every directory looked at, by path: its inode
        self._below: dict[str, set[str]] = {}  # those right below each of them
        self._cgroups: dict[str, Cgroup] = {}
        self.cgroups: Mapping[str, Cgroup] = MappingProxyType(self._cgroups)
        self._pods: dict[str | None, str] = {}  # their paths, by pod key
        self._containers: dict[str | None, dict[str, Cgroup]] = {}  # by pod key and path
        self._trouble: str | None = None  # what could not be watched or read and why, until it is reported
        self._has_failed = False  # anything since the last scan began
        self._is_reported = False  # trouble, since the last scan without any
        self._between: Callable[[], None] | None = None  # while a scan is under way
        self._notified: set[str] = set()  # paths that notifications named during the scan
        self.unnotified: set[str] = set()

    def fileno(self) -> int:
        return int(self._watches.inotify.fileno())

    def close(self) -> None:
        self._watches.inotify.close()

    def containers(self, pod_key: str | None) -> tuple[Cgroup, ...]:
        """The live containers of one pod, sandboxes included."""
        return tuple(self._containers.get(pod_key, {}).values())

    @property
    def failing(self) -> bool:
        """Whether anything could not be watched or read since the last scan began: cgroups may be missing."""
        return self._has_failed

    @property
    def roots(self) -> tuple[Cgroup, ...]:
        """The kubepods roots."""
        return tuple(c for c in self._cgroups.values() if c.place.kind is CgroupKind.KUBEPODS)

    @property
    def watches(self) -> int:
        """How many inotify watches are in use (against fs.inotify.max_user_watches)."""
        return len(self._watches)

    def scan(self, now_s: float, between: Callable[[], None] | None = None) -> list[TreeEvent]:
        """Look at everything; returns the differences. Parents appear before their children and are gone after them.

        ``between`` is called before each directory, and may call read().
        """
        events: list[TreeEvent] = []
        self._between, self._has_failed = between, False
        self._notified.clear()
        for path in sorted(self._directories, reverse=True):  # the deepest first
            if between is not None:
                between()
            if path in self._directories and self._inode(path) != self._directories.get(path):
                events += self._forget(path, now_s)
        events += self._visit("", now_s)
        self._between = None
        self._is_reported = self._is_reported and self._has_failed
        self.unnotified = {event.cgroup.path for event in events if isinstance(event, (CgroupAppeared, CgroupGone))}
        for path in self._notified:
            self._notice(path)
        return events + self._unreported_trouble(now_s)

    def _visit(self, path: str, now_s: float) -> list[TreeEvent]:
        """Look into a directory: watch it before it is listed, so that nothing made in between is missed."""
        if self._between is not None:
            self._between()
        inode = self._inode(path)
        if isinstance(inode, Vanished):
            return []
        events: list[TreeEvent] = []
        if self._directories.get(path, inode) != inode:
            events += self._forget(path, now_s)
        for foreign in self._foreign(path):
            if foreign == path:
                return events
            events += self._forget(foreign, now_s)
        self._directories[path] = inode
        if path:
            self._below.setdefault(parent_of(path), set()).add(path)
        self._watches.add(path)
        place = classify(path)
        if place.kind in TRACKED:
            files = self._files_of.get(place.kind, ())
            watched = self._watches.add_files(path, files) if files else []
            if path in self._cgroups:
                events += [event for file in watched for event in self._file_touched(Watch(path, file), now_s)]
            else:
                cgroup = self._cgroups[path] = Cgroup(place, inode)
                self._files.keep_open(cgroup)
                if place.kind is CgroupKind.POD:
                    self._pods[place.pod_key] = path
                if place.kind is CgroupKind.CONTAINER:
                    self._containers.setdefault(place.pod_key, {})[path] = cgroup
                events.append(CgroupAppeared(cgroup, now_s))
        names = self._ask(self._files.children, path, VANISHED)
        for name in () if isinstance(names, Vanished) else names:
            events += self._arrive(path, name, now_s)
        return events

    def _foreign(self, path: str) -> tuple[str, ...]:
        """Directories, this new one or known ones, that have the name of a kubepods root, a pod or a container and are not the kubelet's.

        The kubelet's are root's: where there is such a root, those of users (in user.slice) count for nothing; only a kubelet without
        privileges has no other. And of two that claim to be one pod it is the one that lies higher.
        """
        place = classify(path)
        if place.kind is CgroupKind.POD:
            other = self._pods.get(place.pod_key, path)
            return (max(path, other, key=self._rank),) if other != path else ()
        outside = classify(parent_of(path)).kind is CgroupKind.OTHER
        if place.kind is not CgroupKind.KUBEPODS and not (place.kind is CgroupKind.CONTAINER and outside):
            return ()
        if self._override or path in self._cgroups:
            return ()
        users = {root.path: self._is_users(root.path) for root in self.roots}
        if self._is_users(path):
            return () if all(users.values()) else (path,)
        return tuple(root for root, is_users in users.items() if is_users) if place.kind is CgroupKind.KUBEPODS else ()

    def _rank(self, path: str) -> tuple[bool, int, int]:
        """The lower, the rather the kubelet's. Of two at one level the newer: a change of the cgroup driver may leave the old tree."""
        inode = self._inode(path)
        return self._is_users(path), path.count("/"), 0 if isinstance(inode, Vanished) else -inode

    def _is_users(self, path: str) -> bool:
        return self._ask(self._files.owner, path, VANISHED) not in (0, VANISHED)

    def _inode(self, path: str) -> int | Vanished:
        """The directory's inode; if it can't be read, the known one: an error doesn't make a cgroup gone."""
        return self._ask(self._files.inode, path, self._directories.get(path, VANISHED))

    def _ask(self, read: Callable[[str], T | Vanished], path: str, otherwise: T | Vanished) -> T | Vanished:
        try:
            return read(path)
        except CgroupError as error:
            self._fail(str(error))
            return otherwise

    def _arrive(self, parent: str, name: str, now_s: float) -> list[TreeEvent]:
        path = path_of(parent, name)
        if not self._is_followed(parent, path, name):
            return []
        events = self._visit(path, now_s)
        place = classify(path)
        if place.kind is CgroupKind.CONTAINER and path not in self._directories:
            events.append(CgroupMissed(place, now_s))
        return events

    def _is_followed(self, parent: str, path: str, name: str) -> bool:
        kind, kind_above = classify(path).kind, classify(parent).kind
        is_above_override = any(is_inside(root, path) for root in self._override)
        if self._override and not is_above_override and not any(is_inside(path, root) for root in self._override):
            return False
        if kind is CgroupKind.NESTED:
            is_runtimes = name == RUNTIME_CHILD and kind_above is CgroupKind.CONTAINER
            return is_runtimes or (self._files.version == "v1" and path.count("/") < MAX_DEPTH)
        if kind is CgroupKind.OTHER:
            return kind_above is CgroupKind.OTHER and (is_above_override or may_hold_roots(path, self._max_depth))
        return True

    def _fail(self, why: str) -> None:
        self._has_failed, self._trouble = True, why

    def _unreported_trouble(self, now_s: float) -> list[TreeEvent]:
        """Once, until a scan meets no trouble: a report causes a scan, which would meet it again."""
        trouble, self._trouble = self._trouble, None
        if trouble is None or self._is_reported:
            return []
        self._is_reported = True
        return [TreeOverflowed(trouble, now_s)]

    def _forget(self, path: str, now_s: float) -> list[TreeEvent]:
        """The directory was removed, and before it all below."""
        events = [event for below in tuple(self._below.get(path, ())) for event in self._forget(below, now_s)]
        del self._directories[path]
        self._below.pop(path, None)
        parent = parent_of(path)
        beside = self._below.get(parent, set())
        beside.discard(path)
        if not beside:
            self._watches.drop(Watch(parent, SWITCH))
        for file in (DIRECTORY, OOM_GROUP, EVENTS, SWITCH):
            self._watches.drop(Watch(path, file))
        if (cgroup := self._cgroups.pop(path, None)) is not None:
            self._files.let_go(cgroup)
            if self._pods.get(cgroup.place.pod_key) == path:
                del self._pods[cgroup.place.pod_key]
            of_pod = self._containers.get(cgroup.place.pod_key, {})
            if of_pod.pop(path, None) is not None and not of_pod:
                del self._containers[cgroup.place.pod_key]
            events.append(CgroupGone(cgroup, now_s))
        return events

    def read(self, now_s: float) -> list[TreeEvent]:
        """The changes that inotify has, without waiting. Repeated writes to one file are one event."""
        events: list[TreeEvent] = []
        touched: set[tuple[int, Watch]] = set()
        for event, watch in self._watches.read():
            if event.mask & flags.Q_OVERFLOW:
                events.append(TreeOverflowed(OVERFLOW, now_s))
            elif watch is None:
                continue
            elif event.mask & flags.IGNORED:
                self._watches.drop(watch)  # removed with its file, which the directory's watch reports
            elif watch.file == DIRECTORY:
                events += self._directory_changed(watch.path, event.mask, event.name, now_s)
            elif (event.wd, watch) not in touched:
                touched.add((event.wd, watch))
                events += self._file_touched(watch, now_s)
        return events + self._unreported_trouble(now_s)

    def _directory_changed(self, parent: str, mask: int, name: str, now_s: float) -> list[TreeEvent]:
        if not (mask & flags.ISDIR and name):
            return []
        path = path_of(parent, name)
        if self._between is not None:
            self._notified.add(path)
        self._notice(path)
        if mask & (flags.CREATE | flags.MOVED_TO):
            return self._arrive(parent, name, now_s)
        known = self._directories.get(path)
        if (
            known is None or self._inode(path) == known
        ):  # the same: made again, and its IN_CREATE follows or was read already
            return []
        return self._forget(path, now_s)

    def _notice(self, path: str) -> None:
        """A notification has named this directory, and so the cgroups below it."""
        self.unnotified = {known for known in self.unnotified if not is_inside(known, path)}

    def _file_touched(self, watch: Watch, now_s: float) -> list[TreeEvent]:
        if watch.file == SWITCH:
            return self._controllers_switched(watch.path, now_s)
        cgroup = self._cgroups.get(watch.path)
        if cgroup is None:
            return []
        return [OomGroupTouched(cgroup, now_s) if watch.file == OOM_GROUP else CountersTouched(cgroup, now_s)]

    def _controllers_switched(self, parent: str, now_s: float) -> list[TreeEvent]:
        """Something was written to the parent's cgroup.subtree_control. If memory was switched, all cgroups right below have other files;
        if one that was watched completely has the same ones, all have: a start of a container that is no change must cost little.
        """
        events: list[TreeEvent] = []
        same = False
        for path in sorted(self._below.get(parent, ())):
            files = self._files_of.get(self._cgroups[path].place.kind, ()) if path in self._cgroups else ()
            complete = bool(files) and all(Watch(path, file) in self._watches for file in files)
            if not files or (complete and same):
                continue
            changed = self._watches.add_again(path, files)
            same = same or (complete and not changed and all(Watch(path, file) in self._watches for file in files))
            events += [event for file in changed for event in self._file_touched(Watch(path, file), now_s)]
        return events
