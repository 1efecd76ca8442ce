"""The manifests of manifests/examples/ as pods of the lab: label, limit, restart policy, user, environment and scripts come from the file.

What can't come from it is the image: programs are the host's own, and a test says so where it runs another than the manifest does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.boot import REPO
from tests.lab.spec import MIB, Container, Folder, Pod, Program

EXAMPLES = REPO / "manifests" / "examples"
UNITS = {"Mi": 1, "Gi": 1024}
GUARANTEED_ADJ, BESTEFFORT_ADJ = -997, 1000


def mib(quantity: str) -> int:
    """A quantity of memory as the examples write them, ``256Mi`` or ``1Gi``, in MiB."""
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


@dataclass(frozen=True, slots=True)
class Example:
    """One file: its pod (of a Pod, or the template of what makes pods), and its ConfigMaps. ``work`` is where its volumes are."""

    metadata: dict[str, Any]
    spec: dict[str, Any]
    config_maps: dict[str, dict[str, str]]
    claims: tuple[str, ...]
    work: Path

    @property
    def container(self) -> dict[str, Any]:
        """Its one container."""
        (container,) = self.spec["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def limit_mib(self) -> int:
        """The container's memory limit."""
        return mib(self.container["resources"]["limits"]["memory"])

    @property
    def guaranteed(self) -> bool:
        """Whether its QoS class is Guaranteed: limits for processor and memory, and requests equal to them."""
        resources = self.container["resources"]
        return set(resources["limits"]) == {"cpu", "memory"} and resources["requests"] == resources["limits"]

    @property
    def oom_score_adj(self) -> int:
        """As the kubelet reckons it (pkg/kubelet/qos/policy.go)."""
        if self.guaranteed:
            return GUARANTEED_ADJ
        request = mib(self.container["resources"]["requests"]["memory"]) * MIB
        of_node = 1000 * request // (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        return min(max(BESTEFFORT_ADJ - of_node, BESTEFFORT_ADJ + GUARANTEED_ADJ), BESTEFFORT_ADJ - 1)

    def pod(
        self,
        name: str,
        *,
        mode: str | None = "as written",
        runtime: str = "crun",
        argv: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        folders: tuple[Folder, ...] = (),
    ) -> Pod:
        """The pod for the kubelet. ``mode``: another value of the label, None: without it. ``argv`` in the stead of command and args."""
        labels = dict(self.metadata["labels"])
        if mode is None:
            del labels["oomward.dev/mode"]
        elif mode != "as written":
            labels["oomward.dev/mode"] = mode
        container = self.container
        written = {e["name"]: e["value"] for e in container.get("env", ()) if "value" in e}
        user = self.spec["securityContext"]
        program = Program(
            argv=argv or (*container["command"], *container.get("args", ())),
            env=tuple((written | dict(env or {})).items()),
            folders=(*self._volumes(user["runAsUser"], user["runAsGroup"]), *folders),
            cwd=container.get("workingDir", "/"),
            uid=user["runAsUser"],
            gid=user["runAsGroup"],
            oom_score_adj=self.oom_score_adj,
        )
        return Pod(
            name,
            (Container(container["name"], (), self.limit_mib, program=program),),
            labels=labels,
            restart_policy=self.spec.get("restartPolicy", "Always"),
            runtime=runtime,
            guaranteed=self.guaranteed,
        )

    def folder(self, volume: str) -> Path:
        """Where a volume is on the host. It stays what it is from one pod to the next, as a claim does."""
        return self.work / volume

    def _volumes(self, uid: int, gid: int) -> list[Folder]:
        sources = {volume["name"]: volume for volume in self.spec.get("volumes", ())}
        found = []
        for mount in self.container.get("volumeMounts", ()):
            outside = self.folder(mount["name"])
            outside.mkdir(parents=True, exist_ok=True)
            source = sources.get(mount["name"], {})
            if "configMap" in source:
                for file, text in self.config_maps[source["configMap"]["name"]].items():
                    (outside / file).write_text(text)
            else:
                assert "emptyDir" in source or mount["name"] in self.claims, f"what is the volume {mount['name']}?"
                os.chown(outside, uid, gid)
            found.append(Folder(mount["mountPath"], str(outside), writable="configMap" not in source))
        return found


def load(file: str, work: Path) -> Example:
    """Read one of the examples."""
    objects = list(yaml.safe_load_all((EXAMPLES / file).read_text()))
    maps = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
    (workload,) = [o for o in objects if o["kind"] not in ("ConfigMap", "Service")]
    template = workload if workload["kind"] == "Pod" else workload["spec"]["template"]
    claims = tuple(c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", ()))
    return Example(template["metadata"], template["spec"], maps, claims, work / file.removesuffix(".yaml"))
