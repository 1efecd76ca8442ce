"""How a process was started, and how large it is, in few system calls: it is asked of all processes of a container.

``arguments`` may wait: the kernel takes the lock of the process's memory (fs/proc/base.c, get_mm_cmdline), which a process that is
stuck at its container's limit may hold. Never call it in the loop's thread.
"""

from __future__ import annotations

from pathlib import Path

from agent.kernel.processes import PAGE, PROC, read_file

MOST_BYTES = 2048  # of a command line
MOST_ARGUMENTS = 64
CUT = "…"


def resident_bytes(pid: int, proc: Path = PROC) -> int:
    """By /proc/PID/statm (proc_pid_statm(5)), which takes no lock and doesn't look at threads; 0: gone, hidden, or no memory is left."""
    fields = (read_file(pid, "statm", proc) or b"").split()
    return int(fields[1]) * PAGE if len(fields) > 1 else 0


def arguments(pid: int, proc: Path = PROC) -> list[str]:
    """The arguments in /proc/PID/cmdline (proc_pid_cmdline(5)); empty: it has none, its memory is gone, or it is hidden.

    A program may have overwritten them. The last is CUT where there are more than MOST_BYTES or MOST_ARGUMENTS: an argument that is not
    read to its end is not shown at all, since what it lacks could show that it is a secret.
    """
    text = read_file(pid, "cmdline", proc, MOST_BYTES) or b""
    cut = len(text) == MOST_BYTES and not text.endswith(b"\0")
    found = text.rstrip(b"\0").split(b"\0") if text.strip(b"\0") else []
    if cut or len(found) > MOST_ARGUMENTS:
        found = found[:-1] if cut and len(found) <= MOST_ARGUMENTS else found[:MOST_ARGUMENTS]
        return [*(one.decode("utf-8", "backslashreplace") for one in found), CUT]
    return [one.decode("utf-8", "backslashreplace") for one in found]
