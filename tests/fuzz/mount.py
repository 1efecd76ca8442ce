"""A folder that looks like the mount of cgroup v2, and a file in memory, for targets that want paths. Gone with the process."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_FOLDER = tempfile.TemporaryDirectory(prefix="oomward-fuzz-")
LIKE_V2 = Path(_FOLDER.name)
(LIKE_V2 / "cgroup.controllers").write_text("cpu memory\n")


class MemoryFile:
    """A file whose text is replaced at each run, at a ``path`` that can be opened; memfd_create(2)."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("oomward-fuzz", os.MFD_CLOEXEC)
        self.path = Path(f"/proc/self/fd/{self._fd}")

    def write(self, data: bytes) -> None:
        """This and nothing else is in it now."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)
