"""The OOMPolicy that systemd has for a container's scope, read from systemd's files: no D-Bus, no privilege but to see them.

Measured with systemd 257 and 262: a drop-in overrides what the runtime asked for, once systemd has read it. systemd reads it for
every scope, running ones too, at a daemon-reload; and for a new scope at its start, if the file's folder existed at the last reload.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from agent.model import OomPolicy, ScopePolicy
from agent.runtime.unit_files import NodeFiles, UnitFile, assignments, names_of_drop_ins

PROC = Path("/proc")
TRANSIENT = "/run/systemd/transient"
# In order of precedence (systemd.unit(5), table "Load path when running in system mode").
UNIT_FOLDERS = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    TRANSIENT,
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
)
# systemd-system.conf(5)
MANAGER_FILES = tuple(f"{at}/systemd/system.conf" for at in ("/etc", "/run", "/usr/local/lib", "/usr/lib"))
# Touched by systemd when it has read the unit files; older versions only make the generators' folder again.
LOADED = ("/run/systemd/systemd-units-load", "/run/systemd/generator")
NO = ("0", "no", "n", "false", "f", "off")  # systemd.syntax(7)
LIBRARY = re.compile(r"libsystemd-(?:core|shared)-(\d{3})\b.*\.so\Z")
LIBRARY_FOLDERS = ("/usr/lib/systemd", "/usr/lib64/systemd", "/lib/systemd")
SCOPE = ".scope"


def node_root(proc: Path = PROC) -> tuple[Path, bool]:
    """The node's root directory as we see it, and whether it is all of it.

    With the node's PIDs and the right to trace (privileged, hostPID) it is that of PID 1; else our own, with what is mounted there.
    """
    root = proc / "1" / "root"
    try:
        os.stat(root / "run")
        return root, (proc / "1" / "comm").read_bytes().strip() == b"systemd"
    except OSError:
        return Path("/"), False


class OomPolicies:
    """Reads policies. Between two daemon-reloads it looks for folders of drop-ins below /run only, which is in memory, so no caller waits
    for a disk. A new folder elsewhere counts only after a daemon-reload anyway, and systemd itself has read the disk then.
    """

    def __init__(self, root: Path, *, whole: bool) -> None:
        self.files = NodeFiles(root)
        self.whole = whole
        self.version = self._version() if whole else None
        self._on_disk: dict[str, frozenset[str]] = {}
        self._on_disk_ns = self._list_disk()

    @classmethod
    def of_node(cls, proc: Path = PROC) -> OomPolicies:
        """Those of this node."""
        root, whole = node_root(proc)
        return cls(root, whole=whole)

    def of_cgroup(self, path: str) -> ScopePolicy | None:
        """The policy of a container by its cgroup's path. None: no systemd scope, or none that we can see."""
        name = path.rpartition("/")[2]
        return self.of_scope(name) if name.endswith(SCOPE) else None

    def of_scope(self, scope: str) -> ScopePolicy | None:
        """As ``of_cgroup``, by the unit's name."""
        unit = self.files.read(f"{TRANSIENT}/{scope}")
        if unit is None:
            return None
        drop_ins = self.files.drop_ins(self._folders(scope))
        known = [file for file in drop_ins if self._is_loaded(file, unit.changed_ns)]
        policy, decided_by = self._policy([unit, *known])
        later, _ = (policy, "") if known == drop_ins else self._policy([unit, *drop_ins])
        return ScopePolicy(scope, policy, decided_by, None if later is policy else later, self.version, self.whole)

    def _folders(self, scope: str) -> list[str]:
        """Folders of drop-ins, the first wins: by precedence of their place, then the more specific name; those of the type come last."""
        if self.loaded_ns() != self._on_disk_ns:
            self._on_disk_ns = self._list_disk()
        named = [(at, name) for at in UNIT_FOLDERS for name in names_of_drop_ins(scope)]
        of_type = [(at, "scope.d") for at in UNIT_FOLDERS]
        return [f"{at}/{name}" for at, name in (*named, *of_type) if name in self._on_disk.get(at, (name,))]

    def _list_disk(self) -> int | None:
        """Folders of scopes' drop-ins outside of /run. Returns when systemd had read its files before."""
        loaded_ns = self.loaded_ns()
        for at in UNIT_FOLDERS:
            if not at.startswith("/run/"):
                self._on_disk[at] = frozenset(name for name in self.files.names(at) if name.endswith("scope.d"))
        return loaded_ns

    def loaded_ns(self) -> int | None:
        """When systemd read the unit files last (daemon-reload, or its start); None: not visible."""
        for path in LOADED:
            if (at := self.files.modified_ns(path)) is not None:
                return at
        return None

    def _is_loaded(self, file: UnitFile, started_ns: int) -> bool:
        """Whether systemd has read this drop-in for a scope that started then. Without the time of the last reload: yes."""
        loaded_ns = self.loaded_ns()
        if loaded_ns is None or file.changed_ns <= loaded_ns:
            return True
        folder = file.path.rpartition("/")[0]
        above_ns = self.files.changed_ns(folder.rpartition("/")[0]) or 0
        is_new_folder = above_ns > loaded_ns and all(
            (self.files.changed_ns(at) or 0) > loaded_ns
            for at in (folder, *(f"{folder}/{name}" for name in self.files.names(folder)))
        )
        return file.changed_ns <= started_ns and not is_new_folder

    def _policy(self, files: Iterable[UnitFile]) -> tuple[OomPolicy, str]:
        """The policy by these files, the last assignment wins, and the path of the file that decides."""
        policy: OomPolicy | None = None
        decided_by, delegated = "", False
        for file in files:
            for key, value in assignments(file.text, "Scope"):
                if key == "OOMPolicy" and value in tuple(OomPolicy):
                    policy, decided_by = OomPolicy(value), file.path
                elif key == "Delegate":
                    delegated = value.lower() not in NO
        if policy is not None:
            return policy, decided_by
        return (OomPolicy.CONTINUE, "") if delegated else self._default()

    def _default(self) -> tuple[OomPolicy, str]:
        """DefaultOOMPolicy, for scopes that are not delegated."""
        main = next((file for path in MANAGER_FILES if (file := self.files.read(path)) is not None), None)
        policy, decided_by = OomPolicy.STOP, ""
        for file in (
            *((main,) if main is not None else ()),
            *self.files.drop_ins(f"{path}.d" for path in MANAGER_FILES),
        ):
            for key, value in assignments(file.text, "Manager"):
                if key == "DefaultOOMPolicy" and value in tuple(OomPolicy):
                    policy, decided_by = OomPolicy(value), file.path
        return policy, decided_by

    def _version(self) -> int | None:
        """systemd's major version, from its libraries' names."""
        triplets = (f"/usr/lib/{name}/systemd" for name in self.files.names("/usr/lib") if name.endswith("-linux-gnu"))
        for folder in (*LIBRARY_FOLDERS, *triplets):
            for name in self.files.names(folder):
                if (match := LIBRARY.match(name)) is not None:
                    return int(match[1])
        return None
