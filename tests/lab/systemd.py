"""Runs a command on a machine with a real systemd as PID 1 and containerd, runc and crun: a Debian tree of scripts/setup-systemd.sh.

The machine's root is made at each boot, in memory: the tree's /usr, read-only, and a copy of its /etc. The host's files are at
/host, read-only. There the command runs, by chroot: with this checkout's Python and the host's libraries, but the machine's /proc,
/sys, /dev and /run. So the sockets of systemd and containerd are where they are on every node. ``in_tree`` runs programs of the tree.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.boot import REPO, environment_of, inside, to_stdout, writable
from tests.lab.machine import Machine, in_machine, machine_for
from tests.lab.uml import NoKernelError

TREES = REPO / "build" / "systemd"
SUITES = {"trixie": "Debian 13's systemd 257", "testing": "the newest"}
ROOT = Path("/proc/1/root")  # the machine's root, as the command sees it
# What a machine without disks, modules, terminals and users needs no time for.
MASKED = (
    "modprobe@.service",
    "ldconfig.service",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-random-seed.service",
    "systemd-remount-fs.service",
    "systemd-sysusers.service",
    "systemd-update-done.service",
    "systemd-firstboot.service",
    "systemd-tmpfiles-clean.timer",
    "dev-hugepages.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "tmp.mount",
)


def run(
    command: Sequence[str],
    *,
    suite: str = "trixie",
    memory: str = "1536M",
    timeout_s: float = 900.0,
    out: Path | None = None,
    sink: Callable[[bytes], None] = to_stdout,
) -> int:
    """As boot.run, with systemd as PID 1; ``command`` runs as a oneshot unit after basic.target. Raises uml.NoKernelError.

    ``suite`` is one of SUITES.
    """
    if not (TREES / suite / "ready").exists():
        raise NoKernelError(
            f"there is no {TREES / suite}: run bash scripts/setup-systemd.sh build/systemd {suite} as root"
        )
    folder = writable(out)
    line = inside(command, environment_of(folder, "v2"))
    tree = TREES / suite / "root"
    return in_machine(
        lambda: machine_for(lambda machine: _init(line, folder, tree, machine), "v2", memory), timeout_s, sink
    )


class InTreeError(AssertionError):
    """A program of the tree failed; its message is in this one."""


def in_tree(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program of the tree in the machine's root; its output is text. Raises InTreeError unless ``check`` is False."""
    done = subprocess.run(["chroot", str(ROOT), *command], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise InTreeError(f"{' '.join(command)} exited {done.returncode}: {done.stdout}{done.stderr}")
    return done


def properties(unit: str, *names: str) -> dict[str, str]:
    """What ``systemctl show`` says of a unit."""
    shown = in_tree("systemctl", "show", unit, f"--property={','.join(names)}").stdout
    return dict(line.split("=", 1) for line in shown.splitlines())


def version() -> int:
    """Of the machine's systemd, such as 257."""
    return int(in_tree("systemctl", "--version").stdout.split()[1])


def _init(command: str, out: Path, root: Path, machine: Machine) -> str:
    """The script that makes the root and becomes systemd. See boot._init for mount(8) and hostfs."""
    tree = shlex.quote(str(root))
    masks = "\n".join(f"ln -sf /dev/null etc/systemd/system/{unit}" for unit in MASKED)
    return f"""#!/bin/bash
export LIBMOUNT_FORCE_MOUNT2=always
mount -t proc proc /proc
mount -t tmpfs -o mode=755 root /mnt
cd /mnt
mkdir -p usr proc sys dev run var/lib var/log var/cache root host lab/scratch lab/out mnt opt
mkdir -m 1777 tmp var/tmp
ln -s ../run var/run
for link in bin sbin lib lib32 lib64; do [ ! -L {tree}/$link ] || cp -a {tree}/$link .; done
cp -a {tree}/etc etc
rm -f etc/resolv.conf etc/hosts
echo 127.0.0.1 localhost lab-node >etc/hosts; echo lab-node >etc/hostname; : >etc/resolv.conf
mount -t hostfs none usr -o {tree}/usr && mount -o remount,bind,ro usr
mount -t hostfs none lab/scratch -o {shlex.quote(str(machine.scratch))}
mount -t hostfs none lab/out -o {shlex.quote(str(out))}
{masks}
cat >etc/systemd/system/lab.target <<'END'
[Unit]
Requires=basic.target
After=basic.target
Wants=lab-command.service
END
cat >etc/systemd/system/lab-command.service <<'END'
[Unit]
After=basic.target dbus.socket
Wants=dbus.socket
FailureAction=poweroff-immediate
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/lab/command
StandardInput=null
StandardOutput=file:/dev/console
StandardError=inherit
END
cat >lab/command <<'END'
#!/bin/bash
stty -onlcr </dev/console 2>/dev/null
for folder in sys dev run; do mount --rbind /$folder /host/$folder; done
mount --bind /lab/out /host{shlex.quote(str(out))}
mkdir -p /run/tmp
: >/lab/scratch/{machine.begun.name}
chroot /host /bin/bash -c {shlex.quote(f"cd {shlex.quote(str(REPO))} && exec {command}")}
echo $? >/lab/scratch/{machine.status.name}
sync; echo o >/proc/sysrq-trigger; sleep 5
END
chmod 755 lab/command
pivot_root . host
exec chroot . /lib/systemd/systemd --unit=lab.target --show-status=no --log-target=null
"""
