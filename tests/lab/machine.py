"""A User-Mode Linux as a process of the host: started, watched, ended; started once more when it ends before it has booted.

Each of its processes is one of the host, and each system call hands over from one to another: on two processors of an idle virtual machine
that takes five times as long as on one (measured: 16,000 and 92,000 calls per second), since the other one has to be woken up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import uml
from tests.lab.compiling import compiled

NOISE = (b"SELinux:", b"mmapper_init", b"Failed to initialize ubd", b"sysrq: Power Off", b"reboot: Power down")
EXIT_NO_KERNEL = 70
EXIT_TIMED_OUT = 124
# Some host kernels kill one in several at its start ("overflowed sigaltstack" in their log). So a machine that ends before its PID 1 has
# started the command is booted again: nothing of the command has run, so no result is lost or chosen. One that ends later is a failure.
BOOTS = 8
WIDE = Path(__file__).with_name("wide_registers.c")
WIDE_MADE = WIDE.parents[2] / "build" / "lab" / "wide_registers.so"


def to_stdout(line: bytes) -> None:
    """The usual sink of what the command prints."""
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine to be started, User-Mode Linux or an emulated one. ``scratch`` is its folder on the host, with all that it makes there."""

    scratch: Path
    arguments: tuple[str, ...]
    environment: dict[str, str]

    @property
    def begun(self) -> Path:
        """Made in there when the command starts."""
        return self.scratch / "begun"

    @property
    def status(self) -> Path:
        """Written in there with the command's exit status."""
        return self.scratch / "status"

    def exit_status(self) -> int:
        """That of the command; 70 when the machine ended before the command did."""
        text = self.status.read_text().strip() if self.status.exists() else ""
        return int(text) if text else EXIT_NO_KERNEL


@contextlib.contextmanager
def processor() -> Iterator[int]:
    """The number of a processor of this host that no other machine has, or of one that it shares with others."""
    allowed = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        for number in allowed:
            path = Path(tempfile.gettempdir()) / f"oomward-lab-processor-{os.geteuid()}-{number}"
            file = stack.enter_context(path.open("a"))
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield number
                return
        yield allowed[os.getpid() % len(allowed)]


@contextlib.contextmanager
def machine_for(init: Callable[[Machine], str], cgroup: str, memory: str) -> Iterator[Machine]:
    """``init`` gives the script that is PID 1, on the host's files, read-only. Many machines can run side by side."""
    kernel = uml.program(cgroup)
    with tempfile.TemporaryDirectory(prefix="oomward-lab-") as folder, processor() as number:
        scratch = Path(folder)
        script = scratch / "init"
        arguments = (
            "taskset", "--cpu-list", str(number), *kernel, f"mem={memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
            f"init={script}", "con=null", "con0=fd:0,fd:1", "TERM=dumb", "quiet", "loglevel=1", f"uml_dir={scratch}",
            f"umid={scratch.name}", "log_buf_len=4M",
        )  # fmt: skip
        machine = Machine(scratch, arguments, os.environ | {"TMPDIR": folder} | preloaded(kernel))
        script.write_text(init(machine))
        script.chmod(0o755)
        yield machine


def preloaded(kernel: tuple[str, ...]) -> dict[str, str]:
    """What an older kernel, which runs processes by ptrace, needs on a processor with wide registers: see the source."""
    if uml.BY_SECCOMP in kernel:
        return {}
    return {"LD_PRELOAD": str(compiled(WIDE, WIDE_MADE, "-O2", "-shared", "-fPIC", "-ldl"))}


def in_machine(
    made: Callable[[], contextlib.AbstractContextManager[Machine]],
    timeout_s: float,
    sink: Callable[[bytes], None],
    boots: int = BOOTS,
) -> int:
    """Boot a machine that ``made`` gives until the command has started, ``boots`` times at most, and return its exit status.

    124 when the time is over. Raises uml.NoKernelError.
    """
    for _ in range(boots):
        with (
            made() as machine,
            subprocess.Popen(
                machine.arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=machine.environment,
            ) as process,
        ):
            if attend(process, timeout_s, sink):
                return EXIT_TIMED_OUT
            if machine.begun.exists():
                return machine.exit_status()
        print("tests.lab: the machine ended before it had booted: once more", file=sys.stderr, flush=True)
    return EXIT_NO_KERNEL


def attend(process: subprocess.Popen[bytes], timeout_s: float, sink: Callable[[bytes], None]) -> bool:
    """Pass the output on until the end; kill the whole group when the time is over. Returns whether it was."""
    over = threading.Event()

    def end_it() -> None:
        over.set()
        end(process)

    timer = threading.Timer(timeout_s, end_it)
    timer.start()
    # User-Mode Linux may leave host processes behind that hold the pipe open after its end: its own end is what counts.
    threading.Thread(target=_end_with, args=(process,), daemon=True).start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith(NOISE):
                sink(line.replace(b"\r\n", b"\n"))
        process.wait()
    finally:
        timer.cancel()
        end(process)
    return over.is_set()


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process's whole group and wait for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_with(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ChildProcessError, ProcessLookupError):  # waited for already, or no process left
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        os.killpg(process.pid, signal.SIGKILL)
