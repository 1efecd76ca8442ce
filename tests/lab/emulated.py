"""An emulated PC with Debian's own kernel: cgroup v2 and PSI, which User-Mode Linux doesn't have, and a slow disk to swap to.

QEMU without KVM translates every instruction, so all is some ten times as slow as on the host. The machine's time is counted in
instructions, 2 ns each, and passes with the host's while the machine waits: so a busy host, which steals from it, changes nothing for the
programs in it, and a share of the time that is measured there is right. It boots on the host's files, read-only, by 9p, without privileges.
The kernel and its modules are those of scripts/setup-emulated.sh.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.lab.boot import REPO, environment_of, inside, start_script, to_stdout, writable
from tests.lab.machine import Machine, in_machine
from tests.lab.uml import NoKernelError

FILES = REPO / "build" / "emulated"
STAGE = Path(__file__).with_name("stage.c")
SWAP_MIB = 1024
SWAP_REQUESTS_PER_S = 400
SHARES = "trans=virtio,version=9p2000.L,msize=512000"
NEWC = "070701"  # Documentation/driver-api/early-userspace/buffer-format.rst


def run(
    command: Sequence[str],
    *,
    memory: str = "1536M",
    timeout_s: float = 900.0,
    out: Path | None = None,
    sink: Callable[[bytes], None] = to_stdout,
) -> int:
    """As boot.run, on the emulated machine, which has cgroup v2, PSI and the swap disk /dev/vda. Raises uml.NoKernelError."""
    folder = writable(out)
    line = f"setsid -w {inside(command, environment_of(folder, 'v2'))} </dev/null"
    return in_machine(lambda: _machine(line, folder, memory), timeout_s, sink, boots=1)


@contextlib.contextmanager
def _machine(command: str, out: Path, memory: str) -> Iterator[Machine]:
    emulator = shutil.which("qemu-system-x86_64")
    if emulator is None or not (FILES / "ready").exists():
        raise NoKernelError(
            "no emulated machine: run bash scripts/setup-debian.sh emulated, then bash scripts/setup-emulated.sh build/emulated"
        )
    with tempfile.TemporaryDirectory(prefix="oomward-lab-") as folder:
        scratch = Path(folder)
        (scratch / "initramfs").write_bytes(_initramfs(scratch))
        with (scratch / "swap").open("wb") as disk:
            disk.truncate(SWAP_MIB << 20)
        script = scratch / "init"
        arguments = (
            emulator, "-accel", "tcg", "-icount", "shift=1", "-cpu", "max", "-m", memory,
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio", "-kernel", str(FILES / "vmlinuz"),
            "-initrd", str(scratch / "initramfs"),
            "-append", f"console=ttyS0 quiet loglevel=1 psi=1 mitigations=off nokaslr log_buf_len=4M panic=-1 lab={script}",
            "-drive", f"file={scratch / 'swap'},format=raw,if=virtio,cache=unsafe,throttling.iops-total={SWAP_REQUESTS_PER_S}",
            *_share("root", Path("/"), read_only=True), *_share("scratch", scratch), *_share("out", out),
        )  # fmt: skip
        machine = Machine(scratch, arguments, os.environ | {"TMPDIR": folder})
        mounts = (f"mount -t 9p -o {SHARES} scratch /mnt", f"mount -t 9p -o {SHARES},cache=mmap out /run/out")
        swap = "mkswap /dev/vda >/dev/null && swapon /dev/vda"
        script.write_text(start_script(command, "v2", out, machine, mounts, besides=swap))
        script.chmod(0o755)
        yield machine


def _share(tag: str, folder: Path, *, read_only: bool = False) -> tuple[str, str]:
    readonly = ",readonly=on" if read_only else ""
    return (
        "-virtfs",
        f"local,path={shlex.quote(str(folder))},mount_tag={tag},security_model=none,multidevs=remap{readonly}",
    )


def _initramfs(scratch: Path) -> bytes:
    """A cpio archive with the stage as /init, and the modules."""
    init = scratch / "stage"
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoKernelError(f"no C compiler (cc) for {STAGE.name}: run bash scripts/setup-debian.sh")
    command = [compiler, "-O1", "-static", "-Wall", "-Wextra", "-Werror", "-o", str(init), str(STAGE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoKernelError(f"{' '.join(command)} failed:\n{done.stderr}")
    files = {"init": init.read_bytes()} | {path.name: path.read_bytes() for path in FILES.glob("*.ko")}
    entries = [_entry(number, name, content) for number, (name, content) in enumerate(files.items(), 1)]
    return b"".join([*entries, _entry(0, "TRAILER!!!", b"")])


def _entry(inode: int, name: str, content: bytes) -> bytes:
    """One regular, executable file of a cpio archive; each part is padded to four bytes."""
    fields = (inode, 0o100755, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = (NEWC + "".join(f"{field:08x}" for field in fields) + name).encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)
