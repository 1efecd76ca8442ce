"""The tree: which cgroups are there, and what changes in them, as TreeEvents.

Owns the set of live cgroups and decides what of them is watched; takes notifications, gives events, and can look at everything again
(scan). Reads no control file and writes none. On v1 there is nothing to watch but directories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from inotify_simple import flags

from agent.cgroup.files import OOM_GROUP, CgroupError, CgroupFiles
from agent.cgroup.layout import MAX_ROOT_DEPTH, RUNTIME_CHILD, classify, may_hold_roots
from agent.cgroup.watches import DIRECTORY, Watch, Watches
from agent.model import (
    VANISHED,
    Cgroup,
    CgroupAppeared,
    CgroupGone,
    CgroupKind,
    CgroupMissed,
    CgroupPlace,
    CountersTouched,
    KnobTouched,
    TreeEvent,
    TreeOverflowed,
    Vanished,
    is_inside,
)

CAME = flags.CREATE | flags.MOVED_TO
WENT = flags.DELETE | flags.MOVED_FROM
TRACKED = (CgroupKind.KUBEPODS, CgroupKind.QOS, CgroupKind.POD, CgroupKind.CONTAINER, CgroupKind.NESTED)
COUNTED = (CgroupKind.KUBEPODS, CgroupKind.POD, CgroupKind.CONTAINER)
EVENTS, SWITCH = "memory.events", "cgroup.subtree_control"
MAX_DEPTH = 32  # what a workload nests deeper than that is not followed by name (v1)
OVERFLOW = (
    "inotify's queue overflowed, so all is looked at anew; if that happens often, raise it on the node: "
    "sysctl fs.inotify.max_queued_events"
)


class Tree:
    """``root_override``: only these paths are looked into; empty: every kubepods root down to ``max_depth`` levels.

    Raises NoInotifyError.
    """

    def __init__(
        self, files: CgroupFiles, *, root_override: tuple[str, ...] = (), max_depth: int = MAX_ROOT_DEPTH
    ) -> None:
        self._files = files
        self._max_depth = max_depth
        self._override = tuple(root.strip("/") for root in root_override)
        self._watches = Watches(files.mount, self._fail)
        self._directories: dict[str, int] = {}  # every directory looked at, by path: its inode
        self._below: dict[str, set[str]] = {}  # those right below each of them
        self._cgroups: dict[str, Cgroup] = {}
        self._containers: dict[str | None, dict[str, Cgroup]] = {}  # by pod key and path
        self._trouble: str | None = None  # what could not be watched or read and why, until it is told
        self._refused = False  # whether that was told since the last scan without any
        self._failures = 0
        self._between: Callable[[], None] | None = None  # while a scan is under way
        self._untold: set[str] = set()  # what a scan found and no notification has told of (yet)
        self._told_meanwhile: set[str] = set()  # what notifications told of while a scan is under way

    def fileno(self) -> int:
        return int(self._watches.inotify.fileno())

    def close(self) -> None:
        self._watches.inotify.close()

    @property
    def cgroups(self) -> Mapping[str, Cgroup]:
        """Live cgroups by path: kubepods roots, QoS levels, pods, containers, and the runtime's children of those."""
        return MappingProxyType(self._cgroups)

    def containers(self, pod_key: str) -> tuple[Cgroup, ...]:
        """The live containers of one pod, sandboxes included."""
        return tuple(self._containers.get(pod_key, {}).values())

    @property
    def roots(self) -> tuple[Cgroup, ...]:
        """The kubepods roots."""
        return tuple(c for c in self._cgroups.values() if c.place.kind is CgroupKind.KUBEPODS)

    @property
    def watches(self) -> int:
        """How many inotify watches are in use (against fs.inotify.max_user_watches)."""
        return len(self._watches)

    # --------------------------------------------------------------------------------------------------------- scan

    def scan(self, now_s: float, between: Callable[[], None] | None = None) -> list[TreeEvent]:
        """Look at everything anew; the differences to what is known. Parents appear before children and go after them.

        ``between`` is called before each directory, and may call read().
        """
        failures = self._failures
        events: list[TreeEvent] = []
        self._between = between
        self._told_meanwhile.clear()
        for path in sorted(self._directories, key=_depth, reverse=True):
            if between is not None:
                between()
            if path in self._directories and self._inode(path) != self._directories.get(path):
                events += self._forget(path, now_s)
        events += self._visit("", now_s)
        self._between = None
        if self._failures == failures:
            self._refused = False
        self._untold = {event.cgroup.path for event in events if isinstance(event, (CgroupAppeared, CgroupGone))}
        for path in self._told_meanwhile:
            self._hear(path)
        return events + self._told_trouble(now_s)

    def _visit(self, path: str, now_s: float) -> list[TreeEvent]:
        """Look into a directory: watch it first, then list it, so that nothing made in between is missed."""
        if self._between is not None:
            self._between()
        inode = self._inode(path)
        if isinstance(inode, Vanished):
            return []
        events: list[TreeEvent] = []
        if self._directories.get(path, inode) != inode:
            events += self._forget(path, now_s)
        known = path in self._directories
        self._directories[path] = inode
        if path:
            self._below.setdefault(_parent(path), set()).add(path)
        self._watches.add(path)
        place = classify(path)
        if place.kind in TRACKED:
            watched = self._watch_files(place)
            if not known:
                self._cgroups[path] = Cgroup(place, inode)
                self._files.keep_open(self._cgroups[path])
                if place.kind is CgroupKind.CONTAINER:
                    self._containers.setdefault(place.pod_key, {})[path] = self._cgroups[path]
                events.append(CgroupAppeared(self._cgroups[path], now_s))
            else:
                events += [event for file in watched for event in self._file_touched(Watch(path, file), now_s)]
        for name in self._children(path):
            events += self._arrive(path, name, now_s)
        return events

    def _inode(self, path: str) -> int | Vanished:
        """What it is now; where it can't be read, what it was: trouble with one cgroup doesn't make it gone."""
        try:
            return self._files.inode(path)
        except CgroupError as error:
            self._fail(str(error))
            return self._directories.get(path, VANISHED)

    def _children(self, path: str) -> tuple[str, ...]:
        try:
            names = self._files.children(path)
        except CgroupError as error:
            self._fail(str(error))
            return ()
        return () if isinstance(names, Vanished) else names

    def _arrive(self, parent: str, name: str, now_s: float) -> list[TreeEvent]:
        path = f"{parent}/{name}" if parent else name
        if not self._interesting(parent, path, name):
            return []
        events = self._visit(path, now_s)
        place = classify(path)
        if place.kind is CgroupKind.CONTAINER and path not in self._directories:
            events.append(CgroupMissed(place, now_s))
        return events

    def _interesting(self, parent: str, path: str, name: str) -> bool:
        kind = classify(path).kind
        if kind is CgroupKind.NESTED:
            runtimes = name == RUNTIME_CHILD and classify(parent).kind is CgroupKind.CONTAINER
            return self._allowed(path) and (runtimes or (self._files.version == "v1" and _depth(path) < MAX_DEPTH))
        if kind is CgroupKind.OTHER:
            return classify(parent).kind is CgroupKind.OTHER and self._may_lead_to_roots(path)
        return self._allowed(path)

    def _may_lead_to_roots(self, path: str) -> bool:
        if any(is_inside(root, path) for root in self._override):
            return True
        return self._allowed(path) and may_hold_roots(path, self._max_depth)

    def _allowed(self, path: str) -> bool:
        """Whether it is one of the roots given, below or above one."""
        if not self._override:
            return True
        return any(is_inside(path, root) or is_inside(root, path) for root in self._override)

    @property
    def finds_untold(self) -> bool:
        """Whether the last scan found what no notification has told of until now."""
        return bool(self._untold)

    def untold(self) -> int:
        """How many cgroups' coming and going the last scan found that no notification has told of until now. Then forgets."""
        found, self._untold = len(self._untold), set()
        return found

    # ------------------------------------------------------------------------------------------------------ watches

    def _watch_files(self, place: CgroupPlace) -> list[str]:
        """Watch what there is to watch of a cgroup; returns the files that were not watched before and are now."""
        if self._files.version == "v1":
            return []
        wanted = [OOM_GROUP]
        if place.kind in COUNTED:
            wanted.append(EVENTS)
        missing = [file for file in wanted if Watch(place.path, file) not in self._watches]
        watched = [file for file in missing if self._watches.add(place.path, file)]
        if len(watched) == len(missing):
            return watched
        # No memory controller there yet. Nothing tells of its files when it comes, but this is written for it.
        switch = Watch(_parent(place.path), SWITCH)
        others_wait = switch in self._watches
        if self._watches.add(*switch):
            watched += [file for file in missing if file not in watched and self._watches.add(place.path, file)]
            if len(watched) == len(missing) and not others_wait:
                self._watches.drop(switch)
        return watched

    def _fail(self, why: str) -> None:
        self._failures += 1
        self._trouble = why

    def _told_trouble(self, now_s: float) -> list[TreeEvent]:
        """Told once, until a scan meets no trouble: who is told scans, and that would meet it again."""
        trouble, self._trouble = self._trouble, None
        if trouble is None or self._refused:
            return []
        self._refused = True
        return [TreeOverflowed(trouble, now_s)]

    def _forget(self, path: str, now_s: float) -> list[TreeEvent]:
        """The directory is gone, and all below it: deepest first."""
        events: list[TreeEvent] = []
        for at in self._subtree(path):
            del self._directories[at]
            self._below.pop(at, None)
            for file in (DIRECTORY, OOM_GROUP, EVENTS, SWITCH):
                self._watches.drop(Watch(at, file))
            cgroup = self._cgroups.pop(at, None)
            if cgroup is not None:
                self._files.let_go(cgroup)
                self._drop_container(cgroup.place)
                events.append(CgroupGone(cgroup, now_s))
        self._below.get(_parent(path), set()).discard(path)
        return events

    def _subtree(self, path: str) -> list[str]:
        return [*(each for below in self._below.get(path, ()) for each in self._subtree(below)), path]

    def _drop_container(self, place: CgroupPlace) -> None:
        of_pod = self._containers.get(place.pod_key, {})
        if of_pod.pop(place.path, None) is not None and not of_pod:
            del self._containers[place.pod_key]

    # --------------------------------------------------------------------------------------------------------- read

    def read(self, now_s: float) -> list[TreeEvent]:
        """What inotify has to tell, without waiting. Repeated touches of one file are told once."""
        events: list[TreeEvent] = []
        touched: set[tuple[int, Watch]] = set()
        for event in self._watches.read():
            if event.mask & flags.Q_OVERFLOW:
                events.append(TreeOverflowed(OVERFLOW, now_s))
                continue
            watch = self._watches.of(event.wd)
            if watch is None:
                continue
            if event.mask & flags.IGNORED:
                self._watches.drop(watch)  # gone with what it watched, of which its directory tells
            elif watch.file == DIRECTORY:
                events += self._directory_changed(watch.path, event.mask, event.name, now_s)
            elif (event.wd, watch) not in touched:
                touched.add((event.wd, watch))
                events += self._file_touched(watch, now_s)
        return events + self._told_trouble(now_s)

    def _directory_changed(self, parent: str, mask: int, name: str, now_s: float) -> list[TreeEvent]:
        if not (mask & flags.ISDIR and name):
            return []
        path = f"{parent}/{name}" if parent else name
        if self._between is not None:
            self._told_meanwhile.add(path)
        elif self._untold:
            self._hear(path)
        if mask & CAME:
            return self._arrive(parent, name, now_s)
        known = self._directories.get(path)
        if mask & WENT and known is not None and self._inode(path) != known:
            # Made again meanwhile? Then its own IN_CREATE follows, or came already and this one is old news.
            return self._forget(path, now_s)
        return []

    def _hear(self, path: str) -> None:
        """A notification has told of this directory: it and what was found below it did not escape notice."""
        self._untold = {known for known in self._untold if not is_inside(known, path)}

    def _file_touched(self, watch: Watch, now_s: float) -> list[TreeEvent]:
        if watch.file == SWITCH:
            self._watches.drop(watch)  # who still misses something watches it anew
            return self._visit(watch.path, now_s)
        cgroup = self._cgroups.get(watch.path)
        if cgroup is None:
            return []
        return [KnobTouched(cgroup, now_s) if watch.file == OOM_GROUP else CountersTouched(cgroup, now_s)]


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _depth(path: str) -> int:
    return path.count("/")
