"""A node's files of systemd in an ordinary directory; times are set by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.runtime import unit_files
from agent.runtime.oom_policy import OomPolicies

ID = "a" * 64
SCOPE = f"cri-containerd-{ID}.scope"
DELEGATED = "[Scope]\nDelegate=yes\n"
KILL = f"{DELEGATED}OOMPolicy=kill\n"
CONTINUE = "[Scope]\nOOMPolicy=continue\n"
STOP = "[Scope]\nOOMPolicy=stop\n"
FOLDER = "/run/systemd/system/cri-containerd-.scope.d"


class SystemdNode:
    """systemd has read its files at ``reload``; ``now`` counts changes of files since."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.now = root, 1
        self.changed: dict[str, int] = {}
        for folder in ("run/systemd/transient", "run/systemd/system", "etc/systemd/system", "usr/lib/systemd/system"):
            (root / folder).mkdir(parents=True)
        monkeypatch.setattr(unit_files, "_changed_ns", lambda found: self.changed.get(str(found.st_ino), 0))
        self.reload()
        self.libraries(257)

    def libraries(self, version: int) -> None:
        """systemd's, with its version in their names."""
        (self.root / "usr/lib/systemd" / f"libsystemd-core-{version}.so").write_text("")

    def write(self, path: str, text: str) -> None:
        at = self.root / path.lstrip("/")
        self.now += 1
        is_new = not at.exists()
        if not at.parent.exists():
            at.parent.mkdir(parents=True)
            self._touch(at.parent.parent)
        at.write_text(text)
        self._touch(at)
        if is_new:
            self._touch(at.parent)

    def _touch(self, at: Path) -> None:
        self.changed[str(at.stat().st_ino)] = self.now

    def start(self, text: str = KILL, scope: str = SCOPE) -> None:
        """The runtime makes a scope."""
        self.write(f"/run/systemd/transient/{scope}", text)

    def reload(self) -> None:
        """systemctl daemon-reload."""
        self.now += 1
        stamp = self.root / "run/systemd/systemd-units-load"
        stamp.write_text("")
        os.utime(stamp, ns=(self.now, self.now))

    @property
    def policies(self) -> OomPolicies:
        return OomPolicies(self.root, whole=True)
