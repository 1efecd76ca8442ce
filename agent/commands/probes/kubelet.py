"""The kubelet's own configuration, as far as it decides memory.oom.group: singleProcessOOMKill (KubeletConfiguration, since 1.32).

Read from the files that the command line of the node's kubelet names, below the root directory of that process: no link leads out of
it. Needs the node's PIDs and the right to see its files. Any process of a pod may be named kubelet: those are not believed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.cgroup.layout import is_in_pod
from agent.kernel.processes import PROC, cgroup_of, read_file
from agent.runtime.unit_files import NodeFiles
from agent.settings.file import LARGEST_BYTES, ConfigFile, plain

NAME = b"kubelet"
KEY = "singleProcessOOMKill"
NO_WAITING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class KubeletSetting:
    """``single_process`` None: not known, and ``why`` says why. ``source`` is the deciding file, "" if none sets it (then it is False)."""

    single_process: bool | None
    source: str = ""
    why: str = ""


def kubelet_setting(proc: Path = PROC) -> KubeletSetting:
    """What the files of the running kubelet say now; a kubelet that was not restarted since may have read something else."""
    named = [pid for pid in _pids(proc) if (read_file(pid, "comm", proc) or b"").strip() == NAME]
    found = [_of_process(proc / pid) for pid in named if _is_of_node(pid, proc)]
    if not found:
        return KubeletSetting(None, why=f"no process kubelet is visible here{' but those in pods' if named else ''}")
    if len(set(found)) > 1:
        return KubeletSetting(None, why=f"{len(found)} processes kubelet are here, and their settings differ")
    return found[0]


def _is_of_node(pid: str, proc: Path) -> bool:
    """False, too, if it is gone. The kubelet may run in a container (RKE, Talos, kind), but in none of a pod."""
    cgroup = cgroup_of(pid, proc)
    return cgroup is not None and not is_in_pod(cgroup)


def _of_process(process: Path) -> KubeletSetting:
    try:
        arguments = os.fsdecode(read_file(process.name, "cmdline", process.parent) or b"").split("\0")
        if arguments == [""]:
            raise ValueError("the process has no command line")  # it ends just now
        main, folder = _argument(arguments, "--config"), _argument(arguments, "--config-dir")
        paths = [main] if main else []
        if folder:
            names = sorted(os.listdir(_inside(process, folder)))
            paths += [f"{folder.rstrip('/')}/{name}" for name in names if name.endswith(".conf")]
        setting = KubeletSetting(False)
        for path in paths:  # later ones override earlier ones
            value = _value(_inside(process, path))
            setting = setting if value is None else KubeletSetting(value, path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return KubeletSetting(None, why=f"the kubelet's configuration can't be read: {why}")
    return setting


def _value(at: Path) -> bool | None:
    """None: the file does not set it. Raises OSError, ValueError."""
    file = ConfigFile(Path(at.name), _content(at))
    if file.problems:
        raise ValueError(file.problems[0])
    entry = file.entries.get(KEY)
    if entry is None or entry.empty:
        return None
    value = plain(entry.node)
    if not isinstance(value, bool):
        raise ValueError(f"{KEY} is neither true nor false")
    return value


def _content(at: Path) -> bytes:
    """As much as ConfigFile takes, and a byte more. Never waits. Raises OSError, and ValueError for anything but a regular file."""
    fd = os.open(at, NO_WAITING)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError(f"{at.name} is not a regular file")
        return os.read(fd, LARGEST_BYTES + 1)
    finally:
        os.close(fd)


def _inside(process: Path, path: str) -> Path:
    """The kubelet's path as we see it; relative ones are below its working directory. Raises OSError, ValueError."""
    if not path.startswith("/"):
        path = f"{os.readlink(process / 'cwd')}/{path}"
    at = NodeFiles(process / "root").resolve(path)
    if at is None:
        raise ValueError(f"{path} leads through too many links")
    return at


def _argument(arguments: list[str], flag: str) -> str | None:
    """The last value of a flag, given as ``--flag value`` or ``--flag=value``."""
    value = None
    for at, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            value = argument.partition("=")[2]
        elif argument == flag and at + 1 < len(arguments):
            value = arguments[at + 1]
    return value or None


def _pids(proc: Path) -> Iterator[str]:
    try:
        yield from (name for name in os.listdir(proc) if name.isdigit())
    except OSError:
        return
