"""Runs a command on a real cgroup-v2 (or v1) kernel: the host's own where that will do, else User-Mode Linux.

User-Mode Linux is Linux built as a program: it boots on the host's files, read-only, in seconds and without privileges.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
CGROUP = Path("/sys/fs/cgroup")
NOISE = ("SELinux:", "mmapper_init", "Failed to initialize ubd", "sysrq: Power Off", "reboot: Power down")
EXIT_NO_KERNEL = 70
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
)


class NoKernelError(RuntimeError):
    """There is no kernel to run this on."""


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
) -> int:
    """Run ``command`` on a kernel with that cgroup version and return its exit status; 124 when the time is over.

    ``out`` is a folder that stays writable (in User-Mode Linux all else is read-only or forgotten). Raises NoKernelError.
    """
    out = out or REPO / "build" / "lab"
    out.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key in PASSED_ON if (value := os.environ.get(key)) is not None}
    environment |= {"OOMWARD_LAB_OUT": str(out), "OOMWARD_LAB_CGROUP": cgroup, "PYTHONUNBUFFERED": "1"}
    if host_will_do(cgroup):
        return subprocess.run(
            command, cwd=REPO, env=os.environ | environment, timeout=timeout_s, check=False
        ).returncode
    inside = {"HOME": "/run/tmp", "TMPDIR": "/run/tmp"}
    return _run_uml(command, cgroup, memory, timeout_s, out, environment | inside)


def _run_uml(
    command: Sequence[str], cgroup: str, memory: str, timeout_s: float, out: Path, environment: dict[str, str]
) -> int:
    kernel = shutil.which("linux.uml")
    if kernel is None:
        raise NoKernelError(
            "no linux.uml: the lab needs Debian's user-mode-linux here. Run: bash scripts/setup-debian.sh"
        )
    with tempfile.TemporaryDirectory(prefix="oomward-lab-") as scratch:
        status = Path(scratch) / "status"
        init = Path(scratch) / "init"
        init.write_text(_init(command, cgroup, out, status, environment))
        init.chmod(0o755)
        arguments = [
            kernel, f"mem={memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={init}", "con=null",
            "con0=fd:0,fd:1", "quiet", "loglevel=1", f"umid={Path(scratch).name}", "log_buf_len=4M",
        ]  # fmt: skip
        with subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            env=os.environ | {"TMPDIR": scratch},
        ) as process:  # fmt: skip
            killer = subprocess.Popen(
                [sys.executable, "-c", f"import time,os;time.sleep({timeout_s});os.killpg({process.pid},9)"],
                start_new_session=True,
            )
            try:
                _copy_output(process)
            finally:
                timed_out = killer.poll() is not None
                killer.kill()
                killer.wait()
                _end(process)
        if timed_out:
            return 124
        return int(status.read_text()) if status.exists() and status.read_text().strip() else EXIT_NO_KERNEL


def _copy_output(process: subprocess.Popen[bytes]) -> None:
    """What the kernel's console says goes on as it comes, less the kernel's own chatter at boot."""
    assert process.stdout is not None
    at_line_start = True
    while chunk := process.stdout.read1(65536):  # type: ignore[attr-defined]
        for line in chunk.replace(b"\r\n", b"\n").splitlines(keepends=True):
            if at_line_start and line.decode(errors="replace").startswith(NOISE):
                continue
            sys.stdout.buffer.write(line)
            at_line_start = line.endswith(b"\n")
        sys.stdout.buffer.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _init(command: Sequence[str], cgroup: str, out: Path, status: Path, environment: dict[str, str]) -> str:
    """The script that is PID 1 in there: mounts, then the command, then power off."""
    mounts = {
        "v2": "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        "v1": "mount -t tmpfs tmpfs /sys/fs/cgroup; for c in memory pids cpu freezer devices cpuset; do mkdir -p /sys/fs/cgroup/$c; "
        "mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c 2>/dev/null || rmdir /sys/fs/cgroup/$c; done",
    }[cgroup]
    exports = " ".join(f"{key}={shlex.quote(value)}" for key, value in environment.items())
    return f"""#!/bin/bash
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm /dev/pts; mount -t tmpfs shm /dev/shm; mount -t devpts pts /dev/pts 2>/dev/null
{mounts}
mount -t hostfs none /mnt -o {shlex.quote(str(status.parent))}
mount -t tmpfs tmpfs /run; ip link set lo up
mkdir -p /run/out; mount -t hostfs none /run/out -o {shlex.quote(str(out))}
mkdir -p /run/tmp
mount --bind /run/out {shlex.quote(str(out))}
stty -onlcr 2>/dev/null
cd {shlex.quote(str(REPO))}
setsid -w env {exports} {shlex.join(command)} </dev/null
echo $? > /mnt/{status.name}
sync; echo o > /proc/sysrq-trigger; sleep 5
"""
