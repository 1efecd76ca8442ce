"""The kubelet's own configuration, as far as it decides memory.oom.group: singleProcessOOMKill (KubeletConfiguration, since 1.32).

Read from the files that the command line of the node's kubelet names. Needs the node's PIDs and the right to see its files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.settings.file import ConfigFile, plain

PROC = Path("/proc")
KEY = "singleProcessOOMKill"
LONGEST_LINE = 1 << 16


@dataclass(frozen=True, slots=True)
class KubeletSetting:
    """``single_process`` None: not known, and ``why`` says why. ``source`` is the deciding file, "" if none sets it (then it is False)."""

    single_process: bool | None
    source: str = ""
    why: str = ""


def kubelet_setting(proc: Path = PROC) -> KubeletSetting:
    """What the files of the running kubelet say now; a kubelet that was not restarted since may have read something else."""
    for pid in _pids(proc):
        if _text(proc / pid / "comm").strip() == "kubelet":
            return _of_process(proc / pid)
    return KubeletSetting(None, why="no process kubelet is visible here")


def _of_process(process: Path) -> KubeletSetting:
    arguments = _text(process / "cmdline").split("\0")
    main, folder = _argument(arguments, "--config"), _argument(arguments, "--config-dir")
    try:
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
    os.stat(at)
    file = ConfigFile(at)
    if file.problems:
        raise ValueError(file.problems[0].replace(str(at), at.name))
    entry = file.entries.get(KEY)
    if entry is None or entry.empty:
        return None
    value = plain(entry.node)
    if not isinstance(value, bool):
        raise ValueError(f"{KEY} is neither true nor false")
    return value


def _inside(process: Path, path: str) -> Path:
    """The kubelet's path as we see it: relative ones are below its working directory."""
    return process / "root" / path.lstrip("/") if path.startswith("/") else process / "cwd" / path


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


def _text(path: Path) -> str:
    """ "" if it can't be read: the process is gone, or hidden from us."""
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_LINE).decode(errors="replace")
    except OSError:
        return ""
