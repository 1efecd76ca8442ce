"""Runs a command on a real cgroup-v2 (or v1) kernel: the host's own where that will do, else User-Mode Linux.

User-Mode Linux is Linux built as a program: it boots on the host's files, read-only, in seconds and without privileges.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.machine import (
    BOOTS,
    EXIT_NO_KERNEL,
    EXIT_TIMED_OUT,
    Machine,
    attend,
    end,
    in_machine,
    machine_for,
    to_stdout,
)

__all__ = ["BOOTS", "EXIT_NO_KERNEL", "EXIT_TIMED_OUT", "to_stdout"]

REPO = Path(__file__).resolve().parents[2]
CGROUP = Path("/sys/fs/cgroup")
PASSED_ON = (
    "PATH",
    "VIRTUAL_ENV",
    "TERM",
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "CI",
    "LANG",
    "PYTHONDONTWRITEBYTECODE",
    "PYTEST_ADDOPTS",
    "DEMO_SECONDS",
    "STORM_KILLS",
    "STORM_CONTAINERS",
    "STORM_DEATHS",
    "STORM_SEED",
    "STARTS",
    "SOAK_SECONDS",
    "SOAK_SEED",
    "OOMWARD_IMAGE_TREE",
)
MOUNTS = {
    "v2": "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    "v1": "mount -t tmpfs tmpfs /sys/fs/cgroup; for c in memory pids cpu freezer devices cpuset; do mkdir -p /sys/fs/cgroup/$c; "
    "mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c 2>/dev/null || rmdir /sys/fs/cgroup/$c; done",
}


def host_will_do(cgroup: str) -> bool:
    """Whether the host itself has what is asked for, and lets us."""
    if cgroup != "v2" or os.geteuid() != 0 or os.environ.get("OOMWARD_LAB") == "uml":
        return False
    try:
        words = (CGROUP / "cgroup.controllers").read_text().split()
        return "memory" in words and os.access(CGROUP / "cgroup.subtree_control", os.W_OK)
    except OSError:
        return False


def run(
    command: Sequence[str],
    *,
    cgroup: str = "v2",
    memory: str = "1536M",
    timeout_s: float = 900.0,
    out: Path | None = None,
    sink: Callable[[bytes], None] = to_stdout,
) -> int:
    """Run ``command`` on a kernel with that cgroup version and return its exit status; 124 when the time is over.

    ``out`` is a folder that stays writable (in User-Mode Linux all else is read-only or forgotten). Raises uml.NoKernelError.
    """
    out = writable(out)
    environment = environment_of(out, cgroup)
    if host_will_do(cgroup):
        with subprocess.Popen(
            command,
            cwd=REPO,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            return EXIT_TIMED_OUT if attend(process, timeout_s, sink) else process.returncode
    command_line = f"setsid -w {inside(command, environment)} </dev/null"
    return in_machine(
        lambda: machine_for(lambda machine: _init(command_line, cgroup, out, machine), cgroup, memory), timeout_s, sink
    )


def attach(command: Sequence[str], *, cgroup: str = "v2", memory: str = "1536M", out: Path | None = None) -> int:
    """As ``run``, but on this terminal and without a time-out: for a shell, or tests that somebody watches."""
    out = writable(out)
    environment = environment_of(out, cgroup)
    if host_will_do(cgroup):
        return subprocess.run(command, cwd=REPO, env=os.environ | environment, check=False).returncode
    columns, lines = shutil.get_terminal_size()
    on_terminal = f"(stty sane rows {lines} cols {columns}; exec setsid -c -w {inside(command, environment)}) </dev/tty0 >/dev/tty0 2>&1"
    before = termios.tcgetattr(sys.stdin)
    with (
        machine_for(lambda machine: _init(on_terminal, cgroup, out, machine), cgroup, memory) as machine,
        subprocess.Popen(
            machine.arguments, stderr=subprocess.DEVNULL, start_new_session=True, env=machine.environment
        ) as process,
    ):
        try:
            process.wait()
        finally:
            end(process)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)  # User-Mode Linux makes the terminal raw
        return machine.exit_status()


def writable(out: Path | None) -> Path:
    out = (out or REPO / "build" / "lab").resolve()
    out.mkdir(parents=True, exist_ok=True)
    return out


def environment_of(out: Path, cgroup: str) -> dict[str, str]:
    environment = {key: value for key in PASSED_ON if (value := os.environ.get(key)) is not None}
    return environment | {"OOMWARD_LAB_OUT": str(out), "OOMWARD_LAB_CGROUP": cgroup, "PYTHONUNBUFFERED": "1"}


def inside(command: Sequence[str], environment: dict[str, str]) -> str:
    inside = environment | {"HOME": "/run/tmp", "TMPDIR": "/run/tmp"}
    return f"env {' '.join(f'{key}={shlex.quote(value)}' for key, value in inside.items())} {shlex.join(command)}"


def _init(command: str, cgroup: str, out: Path, machine: Machine) -> str:
    """The script that is PID 1 in User-Mode Linux.

    hostfs takes a folder as its whole option, which mount(8) of util-linux 2.39 and newer would hand to fsconfig(2) as the name of one; by
    mount(2) it works with every kernel (tried: 6.1, 6.12, 7.2).
    """
    folders = ((machine.scratch, "/mnt"), (out, "/run/out"))
    mounts = [f"mount -t hostfs none {where} -o {shlex.quote(str(folder))}" for folder, where in folders]
    return start_script(command, cgroup, out, machine, mounts)


def start_script(
    command: str, cgroup: str, out: Path, machine: Machine, mounts: Sequence[str], *, besides: str = ":"
) -> str:
    """A script to be PID 1: mounts, then the command, then power off. ``mounts``: of the scratch folder at /mnt, of ``out`` at /run/out.

    ``besides`` is done before the command.
    """
    of_scratch, of_out = mounts
    return f"""#!/bin/bash
export LIBMOUNT_FORCE_MOUNT2=always PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm /dev/pts; mount -t tmpfs shm /dev/shm; mount -t devpts pts /dev/pts 2>/dev/null
{MOUNTS[cgroup]}
{of_scratch}
mount -t tmpfs tmpfs /run; ip link set lo up
mkdir -p /run/out; {of_out}
mkdir -p /run/tmp
mount --bind /run/out {shlex.quote(str(out))}
{besides}
stty -onlcr 2>/dev/null
cd {shlex.quote(str(REPO))}
: > /mnt/{machine.begun.name}
{command}
echo $? > /mnt/{machine.status.name}
sync; echo o > /proc/sysrq-trigger; sleep 5
"""
