"""A cgroup that is removed right before the n-th thing that the agent does: every call of the cgroup room is such a moment.

Stands for ``os`` in the cgroup room's modules and for inotify_add_watch. Once the cgroup is gone, what was opened of it reads
ENODEV, as cgroupfs has it (kernfs_get_active fails); ordinary directories would go on giving their text.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from inotify_simple import INotify

from agent.cgroup import files, killing, mount

CALLS = ("open", "read", "pread", "pwrite", "fstat", "stat", "scandir", "dup", "close", "pidfd_open")
OF_FILES = ("read", "pread", "pwrite")


class Moments:
    """Counts the calls; before call number ``at`` (from 0) ``remove`` is called, once. ``at`` None: only counts."""

    def __init__(self, remove: Callable[[], None], at: int | None) -> None:
        self.calls = 0
        self.gone = False
        self._remove = remove
        self._at = at

    def pass_by(self) -> None:
        """One more call is about to be made."""
        if self.calls == self._at:
            self.gone = True
            self._remove()
        self.calls += 1


class _Os:
    def __init__(self, moments: Moments, inside: Callable[[int], bool]) -> None:
        self._moments = moments
        self._inside = inside

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any, **more: Any) -> Any:
            self._moments.pass_by()
            if name in OF_FILES and self._moments.gone and self._inside(arguments[0]):
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            return real(*arguments, **more)

        return call


def install(monkeypatch: pytest.MonkeyPatch, moments: Moments) -> None:
    """From now on the cgroup room meets them."""

    def inside(fd: int) -> bool:
        """Whether it was opened of what is gone: its path ends so, or leads where the tests put what they removed."""
        path = os.readlink(f"/proc/self/fd/{fd}")
        return path.endswith(" (deleted)") or "/gone" in path

    for module in (files, killing, mount):
        monkeypatch.setattr(module, "os", _Os(moments, inside))
    add_watch = INotify.add_watch

    def watched(*arguments: Any) -> Any:
        moments.pass_by()
        return add_watch(*arguments)

    monkeypatch.setattr(INotify, "add_watch", watched)
