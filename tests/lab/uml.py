"""Which User-Mode Linux the lab boots: Linux built as a program."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

NEWER = Path(__file__).resolve().parents[2] / "build" / "uml" / "linux.uml"
NEWER_SINCE = (6, 16)
BY_SECCOMP = "seccomp=auto"
NO_RT_GROUPS = (
    "rt_group_sched=0"  # real-time threads in any cgroup, as in the kernels of most distributions; since 6.15
)


class NoKernelError(RuntimeError):
    """There is no kernel to run this on, or a tool for it is missing; the message says which, and what to do."""


def program(cgroup: str) -> tuple[str, ...]:
    """The kernel's path, and what it is to be told besides the machine that is wanted.

    For cgroup v2 the newer one that ``scripts/setup-kernel.sh`` lays below ``build/uml``, where it is and ``OOMWARD_LAB_KERNEL``
    isn't ``distribution``: since 6.16 User-Mode Linux runs processes by seccomp where it can, which makes a page fault three
    times as fast as by ptrace and a new process five times (measured; arch/um/os-Linux/skas/process.c). The older
    one keeps real time from cgroups. For v1 always the distribution's own: Debian builds newer ones without
    CONFIG_MEMCG_V1. Raises NoKernelError when there is none, or the one there doesn't run.
    """
    newer = cgroup == "v2" and NEWER.exists() and os.environ.get("OOMWARD_LAB_KERNEL") != "distribution"
    kernel = str(NEWER) if newer else shutil.which("linux.uml")
    if kernel is None:
        raise NoKernelError(
            "no linux.uml: the lab needs Debian's user-mode-linux here. Run: bash scripts/setup-debian.sh"
        )
    try:
        said = subprocess.run([kernel, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoKernelError(
            f"{kernel} does not run here ({error}). Remove build/uml and run make again, or install user-mode-linux afresh"
        ) from error
    if _version(said) < NEWER_SINCE:
        return (kernel,)
    return (kernel, BY_SECCOMP, NO_RT_GROUPS)


def _version(text: str) -> tuple[int, ...]:
    """Of ``6.1.176``: (6, 1, 176). Text without a number is older than all."""
    return tuple(int(number) for number in re.findall(r"\d+", text))
