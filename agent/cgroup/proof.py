"""Proves for ``check`` that memory.oom.group can be written here: on an empty cgroup made for that at the mount's top, then removed.

One of the exceptions from "writes only memory.oom.group of containers" (docs/architecture.md, Invariants): no
pod, no process and no other cgroup is touched.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

from agent.cgroup.files import OOM_GROUP, refused, value
from agent.cgroup.mount import DIRECTORY, CgroupMount, opened
from agent.cgroup.watches import SWITCH
from agent.model import OomGroupWrite, WriteOutcome

VALUES = (1, 0)
TOO_MANY = (
    "the limit of cgroups is reached (cgroup.max.descendants or cgroup.max.depth at the mount's top): raise it, or remove "
    "cgroups that nobody needs"
)


def prove_oom_group(memory_mount: Path, *, check_magic: bool = True) -> OomGroupWrite:
    """Write 1 and 0 into a cgroup v2 of our own and read each back: ``written``, or the error that prevented it.

    ``unsupported``: a cgroup made here has no such file. It exists since 4.19, and only where the cgroup above hands the
    memory controller down by cgroup.subtree_control (cgroup-v2.rst: Enabling and Disabling, memory.oom.group).
    ``detail`` also says when our cgroup could not be removed again. Raises NotACgroupMountError, OSError (no mount there).
    ``check_magic``: see CgroupMount.
    """
    mount = CgroupMount(memory_mount, "v2", check_magic=check_magic)
    name = f"oomward-check-{os.getpid()}"
    try:
        with mount.directory("") as top:
            try:
                _make(top, name)
            except FileExistsError:
                pass  # of a check that was killed and had our pid: it is empty, and ours
            except OSError as error:
                return refused(error, VALUES[0], advice=TOO_MANY if error.errno == errno.EAGAIN else None)
            try:
                result = _prove(top, name)
            except OSError as error:
                result = refused(error, VALUES[0])
            return replace(result, detail=result.detail + _removal(top, name))
    finally:
        mount.close()


def _prove(top: int, name: str) -> OomGroupWrite:
    own = os.open(name, DIRECTORY, dir_fd=top)
    try:
        with opened(own, OOM_GROUP, os.O_RDWR) as fd:
            before = value(fd)
            for wanted in VALUES:
                os.pwrite(fd, b"%d\n" % wanted, 0)
                if (after := value(fd)) != wanted:
                    detail = f"it read {after} right after {wanted} was written"
                    return OomGroupWrite(WriteOutcome.CONFLICT, before, wanted, detail)
            return OomGroupWrite(WriteOutcome.WRITTEN, before, VALUES[-1])
    except FileNotFoundError:
        return OomGroupWrite(WriteOutcome.UNSUPPORTED, None, VALUES[0], _why_missing(top))
    finally:
        os.close(own)


def _why_missing(top: int) -> str:
    with opened(top, SWITCH) as fd:
        handed = os.read(fd, 4096).decode(errors="replace").split()
    if "memory" in handed:
        return "the memory controller is there, memory.oom.group is not: it came with Linux 4.19"
    return f"the mount's top doesn't hand the memory controller down ({SWITCH}: {' '.join(handed) or 'empty'})"


def _removal(top: int, name: str) -> str:
    """Empty: removed, or never made."""
    try:
        _remove(top, name)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"; the empty cgroup {name} at the mount's top could not be removed ({error.strerror}): rmdir it"
    return ""


def _make(top: int, name: str) -> None:
    os.mkdir(name, 0o755, dir_fd=top)


def _remove(top: int, name: str) -> None:
    os.rmdir(name, dir_fd=top)
