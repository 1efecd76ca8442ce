"""Proves that memory.oom.group can be written here: on an empty cgroup made for that at the mount's top, and removed again.

The one exception from "nothing is written but the knob of containers": no pod, no process and no other cgroup is touched.
For ``check``; the agent itself never comes here.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from agent.cgroup.files import KNOB
from agent.cgroup.mount import DENIED, DIRECTORY, MENDS, NO_LINK, CgroupMount
from agent.model import KnobWrite, WriteOutcome

NAME = "oomward-check"
SWITCH = "cgroup.subtree_control"
VALUES = (1, 0)
MODE = 0o755
TOO_MANY = (
    "the limit of cgroups is reached (cgroup.max.descendants or cgroup.max.depth at the mount's top): raise it, or remove "
    "cgroups that nobody needs"
)


def prove_knob(memory_mount: Path, *, check_magic: bool = True) -> KnobWrite:
    """Write 1 and 0 into a cgroup v2 of our own and read each back: ``written``, or what came in between.

    ``unsupported``: a cgroup made here has no such file. It exists since 4.19, and only where the cgroup above hands the
    memory controller down by cgroup.subtree_control (cgroup-v2.rst: Enabling and Disabling, memory.oom.group).
    ``detail`` also says when our cgroup could not be removed again. Raises NotACgroupMountError, OSError (no mount there).
    ``check_magic`` as CgroupFiles has it.
    """
    mount = CgroupMount(memory_mount, "v2", check_magic=check_magic)
    try:
        with mount.directory("") as top:
            return _prove_below(top)
    except OSError as error:
        return _failed(error)
    finally:
        mount.close()


def _prove_below(top: int) -> KnobWrite:
    name = f"{NAME}-{os.getpid()}"
    with contextlib.suppress(FileExistsError):  # of a check that was killed and had our pid: it is empty, and ours
        _make(top, name)
    try:
        result = _prove(top, name)
    except OSError as error:
        result = _failed(error)
    finally:
        left = _removal(top, name)
    return result if left is None else KnobWrite(result.outcome, result.before, result.wanted, f"{result.detail}{left}")


def _prove(top: int, name: str) -> KnobWrite:
    own = os.open(name, DIRECTORY, dir_fd=top)
    try:
        try:
            knob = os.open(KNOB, os.O_RDWR | NO_LINK, dir_fd=own)
        except FileNotFoundError:
            return KnobWrite(WriteOutcome.UNSUPPORTED, None, VALUES[0], _why_missing(top))
        try:
            return _write(knob)
        finally:
            os.close(knob)
    finally:
        os.close(own)


def _write(knob: int) -> KnobWrite:
    before = int(os.pread(knob, 16, 0))
    for value in VALUES:
        os.pwrite(knob, b"%d\n" % value, 0)
        after = int(os.pread(knob, 16, 0))
        if after != value:
            return KnobWrite(WriteOutcome.CONFLICT, before, value, f"it read {after} right after {value} was written")
    return KnobWrite(WriteOutcome.WRITTEN, before, VALUES[-1])


def _why_missing(top: int) -> str:
    fd = os.open(SWITCH, os.O_RDONLY | NO_LINK, dir_fd=top)
    try:
        handed = os.read(fd, 4096).decode(errors="replace").split()
    finally:
        os.close(fd)
    if "memory" in handed:
        return "the memory controller is there, memory.oom.group is not: it came with Linux 4.19"
    return f"the mount's top doesn't hand the memory controller down ({SWITCH}: {' '.join(handed) or 'empty'})"


def _failed(error: OSError) -> KnobWrite:
    outcome = WriteOutcome.DENIED if error.errno in DENIED else WriteOutcome.UNSUPPORTED
    mend = TOO_MANY if error.errno == errno.EAGAIN else MENDS.get(error.errno or 0)
    return KnobWrite(outcome, None, VALUES[0], f"{error.strerror}; {mend}" if mend else str(error.strerror))


def _removal(top: int, name: str) -> str | None:
    """None: removed, or never made."""
    try:
        _remove(top, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"; the empty cgroup {name} at the mount's top could not be removed ({error.strerror}): rmdir it"
    return None


def _make(top: int, name: str) -> None:
    os.mkdir(name, MODE, dir_fd=top)


def _remove(top: int, name: str) -> None:
    os.rmdir(name, dir_fd=top)
