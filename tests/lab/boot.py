"""Runs a command on a real cgroup-v2 (or v1) kernel: the host's own where that will do, else User-Mode Linux.

User-Mode Linux is Linux built as a program: it boots on the host's files, read-only, in seconds and without privileges.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
CGROUP = Path("/sys/fs/cgroup")
NOISE = (b"SELinux:", b"mmapper_init", b"Failed to initialize ubd", b"sysrq: Power Off", b"reboot: Power down")
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
    "DEMO_SECONDS",
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


def to_stdout(line: bytes) -> None:
    """The usual sink of what the command prints."""
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


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

    ``out`` is a folder that stays writable (in User-Mode Linux all else is read-only or forgotten). Raises NoKernelError.
    """
    out = out or REPO / "build" / "lab"
    out.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key in PASSED_ON if (value := os.environ.get(key)) is not None}
    environment |= {"OOMWARD_LAB_OUT": str(out), "OOMWARD_LAB_CGROUP": cgroup, "PYTHONUNBUFFERED": "1"}
    if host_will_do(cgroup):
        with subprocess.Popen(
            command,
            cwd=REPO,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            return 124 if _attend(process, timeout_s, sink) else process.returncode
    inside = {"HOME": "/run/tmp", "TMPDIR": "/run/tmp"}
    return _run_uml(command, cgroup, memory, timeout_s, out, environment | inside, sink)


def _run_uml(
    command: Sequence[str],
    cgroup: str,
    memory: str,
    timeout_s: float,
    out: Path,
    environment: dict[str, str],
    sink: Callable[[bytes], None],
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
            timed_out = _attend(process, timeout_s, sink)
        if timed_out:
            return 124
        return int(status.read_text()) if status.exists() and status.read_text().strip() else EXIT_NO_KERNEL


def _attend(process: subprocess.Popen[bytes], timeout_s: float, sink: Callable[[bytes], None]) -> bool:
    """Pass the output on until the end; kill the whole group when the time is over. Returns whether it was."""
    over = threading.Event()

    def end() -> None:
        over.set()
        _end(process)

    timer = threading.Timer(timeout_s, end)
    timer.start()
    # User-Mode Linux may leave host processes behind that hold the pipe open for ever: its own end is what counts.
    threading.Thread(target=_end_with, args=(process,), daemon=True).start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith(NOISE):
                sink(line.replace(b"\r\n", b"\n"))
        process.wait()
    finally:
        timer.cancel()
        _end(process)
    return over.is_set()


def _end_with(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ChildProcessError, ProcessLookupError):  # waited for already, or no process left
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
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
