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
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import uml

REPO = Path(__file__).resolve().parents[2]
CGROUP = Path("/sys/fs/cgroup")
NOISE = (b"SELinux:", b"mmapper_init", b"Failed to initialize ubd", b"sysrq: Power Off", b"reboot: Power down")
EXIT_NO_KERNEL = 70
EXIT_TIMED_OUT = 124
# Some host kernels kill one in several at its start ("overflowed sigaltstack" in their log). So a machine that ends before its PID 1 has
# started the command is booted again: nothing of the command has run, so no result is lost or chosen. One that ends later is a failure.
BOOTS = 8
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

    ``out`` is a folder that stays writable (in User-Mode Linux all else is read-only or forgotten). Raises uml.NoKernelError.
    """
    out = _writable(out)
    environment = _environment(out, cgroup)
    if host_will_do(cgroup):
        with subprocess.Popen(
            command,
            cwd=REPO,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            return EXIT_TIMED_OUT if _attend(process, timeout_s, sink) else process.returncode
    for _ in range(BOOTS):
        with (
            _machine(f"setsid -w {_inside(command, environment)} </dev/null", cgroup, memory, out) as machine,
            subprocess.Popen(
                machine.arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=machine.environment,
            ) as process,
        ):
            if _attend(process, timeout_s, sink):
                return EXIT_TIMED_OUT
            if machine.begun.exists():
                return machine.exit_status()
        print("tests.lab: the machine ended before it had booted: once more", file=sys.stderr, flush=True)
    return EXIT_NO_KERNEL


def attach(command: Sequence[str], *, cgroup: str = "v2", memory: str = "1536M", out: Path | None = None) -> int:
    """As ``run``, but on this terminal and without a time-out: for a shell, or tests that somebody watches."""
    out = _writable(out)
    environment = _environment(out, cgroup)
    if host_will_do(cgroup):
        return subprocess.run(command, cwd=REPO, env=os.environ | environment, check=False).returncode
    columns, lines = shutil.get_terminal_size()
    on_terminal = f"(stty sane rows {lines} cols {columns}; exec setsid -c -w {_inside(command, environment)}) </dev/tty0 >/dev/tty0 2>&1"
    before = termios.tcgetattr(sys.stdin)
    with (
        _machine(on_terminal, cgroup, memory, out) as machine,
        subprocess.Popen(
            machine.arguments, stderr=subprocess.DEVNULL, start_new_session=True, env=machine.environment
        ) as process,
    ):
        try:
            process.wait()
        finally:
            _end(process)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)  # User-Mode Linux makes the terminal raw
        return machine.exit_status()


def _writable(out: Path | None) -> Path:
    out = (out or REPO / "build" / "lab").resolve()
    out.mkdir(parents=True, exist_ok=True)
    return out


def _environment(out: Path, cgroup: str) -> dict[str, str]:
    environment = {key: value for key in PASSED_ON if (value := os.environ.get(key)) is not None}
    return environment | {"OOMWARD_LAB_OUT": str(out), "OOMWARD_LAB_CGROUP": cgroup, "PYTHONUNBUFFERED": "1"}


def _inside(command: Sequence[str], environment: dict[str, str]) -> str:
    inside = environment | {"HOME": "/run/tmp", "TMPDIR": "/run/tmp"}
    return f"env {' '.join(f'{key}={shlex.quote(value)}' for key, value in inside.items())} {shlex.join(command)}"


@dataclass(frozen=True, slots=True)
class Machine:
    """A User-Mode Linux to be started: its command line, its environment, and where it leaves word of its begin and its exit status."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    begun: Path
    status: Path

    def exit_status(self) -> int:
        """That of the command; 70 when the machine ended before the command did."""
        text = self.status.read_text().strip() if self.status.exists() else ""
        return int(text) if text else EXIT_NO_KERNEL


@contextlib.contextmanager
def _machine(command: str, cgroup: str, memory: str, out: Path) -> Iterator[Machine]:
    """``command`` is a line of shell. All that it makes on the host is in one folder of its own, so that many run side by side."""
    kernel = uml.program(cgroup)
    with tempfile.TemporaryDirectory(prefix="oomward-lab-") as scratch:
        begun, status = Path(scratch) / "begun", Path(scratch) / "status"
        init = Path(scratch) / "init"
        init.write_text(_init(command, cgroup, out, begun, status))
        init.chmod(0o755)
        arguments = (
            *kernel, f"mem={memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={init}", "con=null",
            "con0=fd:0,fd:1", "quiet", "loglevel=1", f"uml_dir={scratch}", f"umid={Path(scratch).name}", "log_buf_len=4M",
        )  # fmt: skip
        yield Machine(arguments, os.environ | {"TMPDIR": scratch}, begun, status)


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


def _init(command: str, cgroup: str, out: Path, begun: Path, status: Path) -> str:
    """The script that is PID 1 in there: mounts, then the command, then power off.

    hostfs takes a folder as its whole option, which mount(8) of util-linux 2.39 and newer would hand to fsconfig(2) as the name of one; by
    mount(2) it works with every kernel (tried: 6.1, 6.12, 7.2).
    """
    return f"""#!/bin/bash
export LIBMOUNT_FORCE_MOUNT2=always
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm /dev/pts; mount -t tmpfs shm /dev/shm; mount -t devpts pts /dev/pts 2>/dev/null
{MOUNTS[cgroup]}
mount -t hostfs none /mnt -o {shlex.quote(str(status.parent))}
mount -t tmpfs tmpfs /run; ip link set lo up
mkdir -p /run/out; mount -t hostfs none /run/out -o {shlex.quote(str(out))}
mkdir -p /run/tmp
mount --bind /run/out {shlex.quote(str(out))}
stty -onlcr 2>/dev/null
cd {shlex.quote(str(REPO))}
: > /mnt/{begun.name}
{command}
echo $? > /mnt/{status.name}
sync; echo o > /proc/sysrq-trigger; sleep 5
"""
