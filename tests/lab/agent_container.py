"""The agent in a container on the lab's node: the image's tree, started by runc as containerd would from the DaemonSet.

Takes a Profile and gives an AgentProcess to ask and to stop. Mounts, capabilities, namespaces, masked paths, devices and cgroup are
what containerd's CRI makes of such a pod (pkg/cri/server/container_create_linux.go). The service account's files are there, so
the agent finds its API as in a cluster. What the lab can't have: AppArmor and SELinux.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

from tests.lab import cgroups, runtime
from tests.lab.agent_process import AgentProcess
from tests.lab.boot import REPO
from tests.lab.podnet import PodNetwork
from tests.lab.profiles import Profile
from tests.lab.seccomp import runtime_default
from tests.lab.spec import MIB

TREE = Path(os.environ.get("OOMWARD_IMAGE_TREE") or REPO / "build" / "image" / "here" / "tree")
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
PORT = 9797
NODE_CRITICAL_SCORE = -997  # kubelet, pkg/kubelet/qos/policy.go
# containerd and runc's defaults for containers that are not privileged
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
DEVICES = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None))


class NoImageTreeError(AssertionError):
    """The image's tree has to be built before the boot."""


def root_filesystem() -> Path:
    """A copy of the tree on the lab's own memory, in which a runtime can make mount points. Raises NoImageTreeError."""
    if not (TREE / "usr/local/bin/oomward").exists():
        raise NoImageTreeError(f"there is no image's tree at {TREE}: `make image-here` builds it")
    root = runtime.WORK / "image"
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", "--no-preserve=ownership", str(TREE), str(root)], check=True)
    return root


class AgentContainer(AgentProcess):
    """``cgroup`` is the agent's own, below kubepods; ``account`` a folder with token, ca.crt and namespace, None: no such mount."""

    def __init__(
        self,
        work: Path,
        profile: Profile,
        *,
        node_name: str,
        cgroup: str,
        account: Path | None,
        api_port: int,
        extra: tuple[str, ...] = (),
    ) -> None:
        self.work = work
        self.port = PORT
        self.log_path = work / "agent.log"
        self.container_id = f"agent-{uuid.uuid4().hex[:12]}"
        self._runc = ("runc", "--root", str(runtime.WORK / "agent-runc"))
        self._cgroup = cgroup
        self._closed = False
        self.network = PodNetwork(self.container_id)
        self.network.let_in(api_port)
        self.network.let_out(PORT)
        pod = cgroup.rpartition("/")[0]
        cgroups.make(pod)
        cgroups.set_cpu_weight(pod, shares(profile))
        environment = {
            "PATH": "/usr/local/bin", "NODE_NAME": node_name, "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(api_port), **dict(profile.env),
        }  # fmt: skip
        config = oci(profile, environment, ("oomward", *profile.args, *extra), cgroup, self.network.path, work, account)
        folder = work / self.container_id
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        self._pid_file = folder / "pid"
        command = [*self._runc, "run", "--bundle", str(folder), "--pid-file", str(self._pid_file), self.container_id]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """The agent's own, as the node numbers it."""
        return int(self._pid_file.read_text())

    def oomward(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``kubectl exec`` of one of oomward's commands in the container."""
        command = self.command("oomward", *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    def command(self, *inside: str) -> list[str]:
        """The command line by which something is run in the container."""
        return [*self._runc, "exec", self.container_id, *inside]

    @property
    def cgroup(self) -> Path:
        return cgroups.MOUNT / self._cgroup

    def stop(self, by: int = signal.SIGTERM) -> int:
        """Also takes down what was made around it; a second time only tells the exit code."""
        code = super().stop(by)
        if not self._closed:
            self._closed = True
            subprocess.run([*self._runc, "delete", "--force", self.container_id], check=False, capture_output=True)
            self.network.close()
            cgroups.remove(self._cgroup)
        return code


def shares(profile: Profile) -> int:
    """The container's and, since it is alone there, its pod's: kubelet, pkg/kubelet/cm/helpers_linux.go, MilliCPUToShares."""
    return max(2, profile.cpu_request_milli * 1024 // 1000)


def oci(
    profile: Profile,
    environment: dict[str, str],
    args: tuple[str, ...],
    cgroup: str,
    network: Path,
    work: Path,
    account: Path | None,
) -> dict[str, Any]:
    """runtime-spec's config.json."""
    kinds: list[dict[str, str]] = [{"type": kind} for kind in ("mount", "ipc", "uts")]
    if not profile.host_network:
        kinds.append({"type": "network", "path": str(network)})
    if not profile.host_pid:
        kinds.append({"type": "pid"})
    if not profile.privileged:
        kinds.append({"type": "cgroup"})  # privileged ones are in the node's (containerd, with cgroup v2)
    capabilities = sorted(f"CAP_{name}" for name in held(profile))
    linux: dict[str, Any] = {
        "cgroupsPath": f"/{cgroup}",
        "namespaces": kinds,
        "resources": {
            "devices": devices(profile),
            "memory": {"limit": profile.memory_limit_mib * MIB},
            "cpu": {"shares": shares(profile)},
            "unified": {"memory.oom.group": "1"},
        },
    }
    if not profile.privileged:
        linux |= {"maskedPaths": list(MASKED), "readonlyPaths": list(READ_ONLY)}
    if profile.seccomp:
        linux["seccomp"] = runtime_default(held(profile))
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": profile.uid, "gid": profile.gid},
            "args": list(args),
            "env": [f"{key}={value}" for key, value in environment.items()],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "noNewPrivileges": not profile.may_escalate,
            "oomScoreAdj": NODE_CRITICAL_SCORE,
        },
        "root": {"path": str(root_filesystem()), "readonly": profile.read_only_root},
        "mounts": mounts(profile, work, account),
        "linux": linux,
    }


def held(profile: Profile) -> frozenset[str]:
    """Capabilities; privileged: all that this kernel has (runc is asked for those it knows)."""
    return profile.capabilities if profile.capabilities is not None else ALL


def devices(profile: Profile) -> list[dict[str, Any]]:
    """The device cgroup's rules."""
    if profile.all_devices:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    for major, minor in DEVICES:
        rule: dict[str, Any] = {"allow": True, "type": "c", "major": major, "access": "rwm"}
        rules.append(rule | ({} if minor is None else {"minor": minor}))
    return rules


def mounts(profile: Profile, work: Path, account: Path | None) -> list[dict[str, Any]]:
    """What containerd mounts by itself, then the pod's volumes, the shorter paths first."""
    of_sys = ["nosuid", "noexec", "nodev", *(() if profile.privileged else ("ro",))]
    own: list[dict[str, Any]] = [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        _mount("/sys", "sysfs", "sysfs", *of_sys),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", *of_sys, "relatime"),
        *([_bind(account, ACCOUNT, read_only=True)] if account else []),
    ]
    volumes = [_bind(source(mount, work), mount.path, read_only=mount.read_only) for mount in profile.mounts]
    taken = {mount["destination"] for mount in volumes}
    return sorted(
        [m for m in own if m["destination"] not in taken] + volumes, key=lambda m: str(m["destination"]).count("/")
    )


def source(mount: Any, work: Path) -> Path:
    """Where the volume is on the lab's node: the agent's own state and the ConfigMap are below ``work``."""
    if mount.host_path is None:
        folder = work / "configmap"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPO / "manifests" / "base" / "config.yaml", folder / "config.yaml")
        return folder
    if mount.volume == "state":
        folder = work / "state"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    if mount.volume in ("scopes", "nri"):
        Path(mount.host_path).mkdir(parents=True, exist_ok=True)  # DirectoryOrCreate
    return Path(mount.host_path)


def _mount(where: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": where, "type": kind, "source": source, "options": list(options)}


def _bind(source: Path, where: str, *, read_only: bool) -> dict[str, Any]:
    return _mount(where, "bind", str(source), "rbind", "rprivate", "ro" if read_only else "rw")


ALL = frozenset(
    {
        "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN", "DAC_OVERRIDE",
        "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN",
        "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID",
        "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE",
        "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
    }
)  # fmt: skip
