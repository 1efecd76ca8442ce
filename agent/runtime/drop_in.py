"""The drop-in that keeps systemd from stopping a container after an OOM kill: written, found and removed.

It is in the node's /run/systemd/system, for all scopes with a runtime's prefix, and gone after a reboot. Only files with our first line
are replaced or removed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agent.model import AgentError
from agent.runtime.oom_policy import PROC, OomPolicies
from agent.runtime.unit_files import NodeFiles

UNITS = "/run/systemd/system"
NAME = "10-oomward.conf"
FIRST_LINE = "# Written by oomward."
TEXT = f"""{FIRST_LINE} Remove it with: oomward oom-policy remove
# After an OOM kill systemd must not stop the whole container: https://github.com/oomward/oomward/blob/main/docs/howto/oom-policy.md
[Scope]
OOMPolicy=continue
"""
PREFIXES = ("cri-containerd", "crio")  # of the scopes that runtimes make for the kubelet


class NoSystemdError(AgentError):
    """This node does not run systemd, or its files are not visible."""


class DropInError(AgentError):
    """A drop-in can't be written or removed: which, and why."""


class State(StrEnum):
    """``foreign``: the file is there with other content, so it is left alone. ``unread``: systemd reads it at the next daemon-reload."""

    INSTALLED = "installed"
    UNREAD = "unread"
    ABSENT = "absent"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class DropIn:
    """The drop-in for scopes with this prefix. ``path`` is the node's."""

    prefix: str
    path: str
    state: State


def folder_of(prefix: str) -> str:
    """The node's path of the folder for scopes with this prefix."""
    return f"{UNITS}/{prefix}-.scope.d"


class DropIns:
    """``root`` is where the node's root directory is for us. Raises NoSystemdError if /run/systemd/system is not there (sd_booted(3))."""

    def __init__(self, policies: OomPolicies) -> None:
        self.policies = policies
        self.files: NodeFiles = policies.files
        if not self._at(UNITS).is_dir():
            raise NoSystemdError(
                f"no {UNITS} on this node: systemd does not run here, or its files are not visible. In a pod set hostPID and privileged"
            )

    def show(self, prefixes: Iterable[str]) -> list[DropIn]:
        """The state of each."""
        return [DropIn(prefix, path := f"{folder_of(prefix)}/{NAME}", self._state(path)) for prefix in prefixes]

    def installed(self) -> list[str]:
        """Prefixes with a drop-in of ours."""
        folders = (name.removesuffix("-.scope.d") for name in self.files.names(UNITS) if name.endswith("-.scope.d"))
        return [one.prefix for one in self.show(folders) if one.state in (State.INSTALLED, State.UNREAD)]

    def install(self, prefixes: Iterable[str]) -> bool:
        """Write those that are missing or old; returns whether systemd has to read them. Raises DropInError."""
        unread = False
        for one in self.show(prefixes):
            if one.state is State.FOREIGN:
                raise DropInError(f"{one.path} is not oomward's. Rename or remove it, and try again")
            if self._text(one.path) != TEXT:
                self._write(one.path)
                unread = True
            unread = unread or one.state is State.UNREAD
        return unread

    def remove(self, prefixes: Iterable[str]) -> bool:
        """Remove ours, and folders that are empty then; returns whether systemd has to forget them. Raises DropInError."""
        removed = False
        for one in self.show(prefixes):
            if one.state in (State.INSTALLED, State.UNREAD):
                at = self._at(one.path)
                try:
                    at.unlink(missing_ok=True)
                except OSError as error:
                    raise DropInError(f"cannot remove {one.path}: {error.strerror}") from error
                with suppress(OSError):  # others' files are in it
                    at.parent.rmdir()
                removed = True
        return removed

    def _state(self, path: str) -> State:
        text = self._text(path)
        if text is None:
            return State.ABSENT
        if not text.startswith(FIRST_LINE):
            return State.FOREIGN
        loaded_ns, changed_ns = self.policies.loaded_ns(), self.files.changed_ns(path)
        unread = loaded_ns is not None and changed_ns is not None and changed_ns > loaded_ns
        return State.UNREAD if unread else State.INSTALLED

    def _text(self, path: str) -> str | None:
        """None: it is not there. A file that can't be read as text of ours is not empty."""
        at = self._at(path)
        if not os.path.lexists(at):
            return None
        file = None if at.is_symlink() else self.files.read(path)
        return "not a file of ours" if file is None else file.text

    def _write(self, path: str) -> None:
        """The whole file or none of it. Raises DropInError."""
        at = self._at(path)
        new = at.with_name(f".{NAME}.{os.getpid()}")  # systemd reads only names that end in .conf
        try:
            at.parent.mkdir(mode=0o755, exist_ok=True)
            new.write_text(TEXT, encoding="utf-8")
            new.chmod(0o644)
            new.replace(at)
        except OSError as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise DropInError(
                f"cannot write {path}: {error.strerror}. Run as root, on the node or in a privileged pod"
            ) from error

    def _at(self, path: str) -> Path:
        return self.files.root / path.lstrip("/")


def reload_systemd(proc: Path = PROC) -> bool:
    """Ask PID 1 to read all unit files again, as ``systemctl daemon-reload`` does (systemd(1), SIGHUP). False: it can't be asked.

    systemd does so within a second or two. It also writes the values that it keeps for running scopes again, among them
    memory.oom.group, when it next has a reason to; the agent corrects them.
    """
    try:
        if (proc / "1" / "comm").read_bytes().strip() != b"systemd":
            return False
        os.kill(1, signal.SIGHUP)
    except OSError:
        return False
    return True
