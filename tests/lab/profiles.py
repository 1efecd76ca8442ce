"""The agent's two profiles as its manifests have them: what its container gets of the node, read from base and component.

Gives a Profile, which tests change by one thing at a time: without this mount, with that capability. Knows of kustomize only what
the least-privilege component uses: a strategic merge patch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.lab.boot import REPO

MANIFESTS = REPO / "manifests"
MERGE_KEYS = ("mountPath", "name")  # of volumeMounts; of containers, volumes and env


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume in the agent's container. ``host_path`` None: a ConfigMap."""

    volume: str
    path: str
    host_path: str | None
    read_only: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """What the DaemonSet asks for. ``capabilities`` (without CAP_) None: privileged, so all of them."""

    name: str
    capabilities: frozenset[str] | None
    mounts: tuple[Mount, ...]
    host_pid: bool
    host_network: bool
    read_only_root: bool
    may_escalate: bool
    seccomp: bool
    uid: int
    gid: int
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    memory_limit_mib: int
    cpu_request_milli: int
    all_devices: bool  # what the device cgroup lets pass: privileged containers may use each

    @property
    def privileged(self) -> bool:
        return self.capabilities is None

    def without_mount(self, volume: str) -> Profile:
        return replace(self, mounts=tuple(mount for mount in self.mounts if mount.volume != volume))

    def read_only(self, volume: str) -> Profile:
        changed = (replace(m, read_only=True) if m.volume == volume else m for m in self.mounts)
        return replace(self, mounts=tuple(changed))

    def with_mount(self, mount: Mount) -> Profile:
        return replace(self, mounts=(*self.mounts, mount))

    def with_capabilities(self, *names: str) -> Profile:
        """These and no others."""
        return replace(self, capabilities=frozenset(names))

    def without_host_pid(self) -> Profile:
        return replace(self, host_pid=False)


def full() -> Profile:
    """manifests/base."""
    return _profile("full", _daemonset(MANIFESTS / "base"))


def least() -> Profile:
    """manifests/components/least-privilege on top of it."""
    patch = _daemonset(MANIFESTS / "components" / "least-privilege")
    return _profile("least-privilege", merged(_daemonset(MANIFESTS / "base"), patch))


def _daemonset(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "daemonset.yaml").read_text())
    return found


def merged(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A strategic merge: maps key by key, lists of maps by MERGE_KEYS, other lists replaced; ``$patch: delete`` removes."""
    result = dict(base)
    for key, value in patch.items():
        old = base.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            result[key] = merged(old, value)
        elif isinstance(value, list) and isinstance(old, list) and value and isinstance(value[0], dict):
            result[key] = _merged_lists(old, value)
        else:
            result[key] = value
    return result


def _merged_lists(old: list[dict[str, Any]], patches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    result = list(old)
    for patch in patches:
        key = next(key for key in MERGE_KEYS if key in patch)
        same = [item for item in result if item.get(key) == patch[key]]
        if patch.get("$patch") == "delete":
            assert same, f"the patch deletes {patch[key]}, which is not there"
            result = [item for item in result if item not in same]
        elif same:
            result[result.index(same[0])] = merged(same[0], patch)
        else:
            result.append(patch)
    return result


def _profile(name: str, daemonset: dict[str, Any]) -> Profile:
    spec = daemonset["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    security = container["securityContext"]
    pod_security = spec.get("securityContext", {})
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = tuple(
        Mount(
            mount["name"],
            mount["mountPath"],
            volumes[mount["name"]].get("hostPath", {}).get("path"),
            mount.get("readOnly", False),
        )
        for mount in container["volumeMounts"]
    )
    capabilities = security.get("capabilities", {})
    assert security["privileged"] or capabilities.get("drop") == ["ALL"], "neither privileged nor all dropped"
    return Profile(
        name=name,
        capabilities=None if security["privileged"] else frozenset(capabilities.get("add", [])),
        mounts=mounts,
        host_pid=spec.get("hostPID", False),
        host_network=spec.get("hostNetwork", False),
        read_only_root=security["readOnlyRootFilesystem"],
        may_escalate=security.get("allowPrivilegeEscalation", True),
        seccomp=not security["privileged"] and pod_security.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        uid=security["runAsUser"],
        gid=security["runAsGroup"],
        args=tuple(container["args"]),
        env=tuple((item["name"], item["value"]) for item in container["env"] if "value" in item),
        memory_limit_mib=int(container["resources"]["limits"]["memory"].removesuffix("Mi")),
        cpu_request_milli=int(container["resources"]["requests"]["cpu"].removesuffix("m")),
        all_devices=security["privileged"],
    )
