"""The profile RuntimeDefault as a runtime takes it: CRI-O's own (and Podman's), from Debian's package, for given capabilities.

containerd's is of the same descent (moby's): an allow-list of system calls, of which some need a capability. Which entries count
follows from architecture, kernel and capabilities, as containers/common's pkg/seccomp resolves them.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

FILE = Path("/usr/share/containers/seccomp.json")
ARCHITECTURES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}


def runtime_default(capabilities: frozenset[str]) -> dict[str, Any]:
    """``linux.seccomp`` of an OCI configuration. ``capabilities`` without CAP_."""
    if not FILE.exists():
        raise FileNotFoundError(f"{FILE} is not there: run bash scripts/setup-debian.sh")
    profile = json.loads(FILE.read_text())
    name, own = ARCHITECTURES[platform.machine()]
    held = {f"CAP_{capability}" for capability in capabilities}
    further: list[str] = next(
        (m["subArchitectures"] for m in profile.get("archMap", []) if m["architecture"] == own), []
    )
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": [own, *further],
        "syscalls": [_syscall(entry) for entry in profile["syscalls"] if _applies(entry, name, held)],
    }


def _applies(entry: dict[str, Any], architecture: str, held: set[str]) -> bool:
    """Whether includes are all met and no exclude is. No kernel that this runs on is too old for a minKernel."""
    includes, excludes = entry.get("includes", {}), entry.get("excludes", {})
    arches = includes.get("arches")
    return (
        (not arches or architecture in arches)
        and architecture not in excludes.get("arches", [])
        and set(includes.get("caps", [])) <= held
        and not held & set(excludes.get("caps", []))
    )


def _syscall(entry: dict[str, Any]) -> dict[str, Any]:
    call: dict[str, Any] = {"names": entry["names"], "action": entry["action"]}
    if entry.get("args"):
        call["args"] = entry["args"]
    if "errnoRet" in entry:
        call["errnoRet"] = entry["errnoRet"]
    return call
