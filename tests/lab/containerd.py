"""The machine's containerd, as a unit of the machine's systemd, with a configuration per test."""

from __future__ import annotations

from pathlib import Path

from tests.lab.cgroups import MOUNT
from tests.lab.cri import SOCKET, Cri
from tests.lab.images import PAUSE_IMAGE, write_archive
from tests.lab.runtime import WORK, build_hog
from tests.lab.systemd import ROOT, in_tree

NRI_SOCKET = Path("/run/nri/nri.sock")
UNIT = "containerd.service"
CGROUP = MOUNT / "system.slice" / UNIT
STATE = ("/run/containerd", "/run/nri", "/var/lib/containerd")
DROP_IN = Path("/run/systemd/system/containerd.service.d/10-lab.conf")
# runc as its next release will be (opencontainers/cgroups 0.0.8): memory.oom.group=1, which the kubelet asks for, gives the scope
# OOMPolicy=kill, and 0 gives it continue. Today's runc passes annotations of this form on to the scope.
NEXT_RUNC = """#!/bin/sh
bundle=.
previous=
for argument; do
  [ "$previous" != --bundle ] || bundle=$argument
  previous=$argument
done
case " $* " in *" create "*)
  policy=
  ! grep -q '"memory.oom.group":"1"' "$bundle/config.json" || policy=kill
  ! grep -q '"memory.oom.group":"0"' "$bundle/config.json" || policy=continue
  [ -z "$policy" ] || sed -i "s/\\"annotations\\":{/&\\"org.systemd.property.OOMPolicy\\":\\"'$policy'\\",/" "$bundle/config.json"
esac
exec /usr/bin/runc "$@"
"""
RUNTIMES = {"runc": Path("/usr/bin/runc"), "crun": Path("/usr/bin/crun"), "runc-next": WORK / "runc-next"}


class Containerd:
    """Configured, started, its images imported. ``driver`` is systemd or cgroupfs. Pods say which of RUNTIMES they want."""

    def __init__(self, driver: str, *, nri: bool = True) -> None:
        RUNTIMES["runc-next"].parent.mkdir(parents=True, exist_ok=True)
        RUNTIMES["runc-next"].write_text(NEXT_RUNC)
        RUNTIMES["runc-next"].chmod(0o755)
        config = WORK / "containerd.toml"
        config.write_text(_config(driver == "systemd", nri))
        DROP_IN.parent.mkdir(parents=True, exist_ok=True)
        DROP_IN.write_text(f"[Service]\nExecStartPre=\nExecStart=\nExecStart=/usr/bin/containerd --config {config}\n")
        in_tree("systemctl", "daemon-reload")
        in_tree("systemctl", "start", UNIT)
        self.cri = Cri()
        self.cri.wait_ready()
        self._import_images()

    def restart(self) -> None:
        """As ``systemctl restart`` does it: containers keep running."""
        self.restart_unit()
        self.cri.wait_ready()

    @staticmethod
    def restart_unit() -> None:
        """The same, for who waits for it otherwise."""
        in_tree("systemctl", "restart", UNIT)

    @staticmethod
    def log() -> str:
        """What it wrote into the journal."""
        return in_tree("journalctl", "--no-pager", "-o", "cat", "-u", UNIT, check=False).stdout

    def close(self) -> None:
        """End it and its shims, and remove all that it knows; containers' processes are the kubelet's to end."""
        self.cri.close()
        in_tree("systemctl", "stop", UNIT)
        if (kill := CGROUP / "cgroup.kill").exists():
            kill.write_text("1")  # KillMode=process left the shims
        for line in (ROOT / "proc/self/mounts").read_text().splitlines():
            if (mounted := line.split()[1]).startswith(STATE):
                in_tree("umount", "--lazy", mounted)
        in_tree("rm", "-rf", *STATE)

    @staticmethod
    def _import_images() -> None:
        build_hog()
        archive = WORK / "images.tar"
        write_archive(archive)
        in_tree(
            "ctr", "-a", SOCKET, "-n", "k8s.io", "images", "import", "--local", "--snapshotter", "native", str(archive)
        )
        archive.unlink()


def _config(systemd: bool, nri: bool) -> str:
    runtimes = "".join(
        f"""
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{name}]
  runtime_type = 'io.containerd.runc.v2'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{name}.options]
    BinaryName = '{program}'
    SystemdCgroup = {str(systemd).lower()}
"""
        for name, program in RUNTIMES.items()
    )
    return f"""version = 3
disabled_plugins = ['io.containerd.tracing.processor.v1.otlp', 'io.containerd.internal.v1.tracing']
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'native'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '{PAUSE_IMAGE}'
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
[plugins.'io.containerd.nri.v1.nri']
  disable = {str(not nri).lower()}
{runtimes}"""
