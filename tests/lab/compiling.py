"""The lab's own C programs, compiled where they are missing or older than their source."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.lab.uml import NoKernelError


def compiled(source: Path, made: Path, *options: str) -> Path:
    """``made``. To be called before the boot: inside all is read-only. Raises NoKernelError when there is no C compiler, or it fails."""
    if made.exists() and made.stat().st_mtime >= source.stat().st_mtime:
        return made
    if (compiler := shutil.which("cc")) is None:
        raise NoKernelError(f"no C compiler (cc) for {source.name}: run bash scripts/setup-debian.sh")
    made.parent.mkdir(parents=True, exist_ok=True)
    new = made.with_name(f"{made.name}.{os.getpid()}")
    command = [compiler, *options, "-Wall", "-Wextra", "-Werror", "-o", str(new), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoKernelError(f"{' '.join(command)} failed:\n{done.stderr}")
    new.replace(made)  # at once, since two boots may build it side by side
    return made
