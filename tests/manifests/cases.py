"""Which values of the chart stand for which components of kustomize. Each case is rendered by both and compared."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.manifests.objects import BASE, MANIFESTS, Object
from tests.manifests.tools import Values, kustomize


@dataclass(frozen=True, slots=True)
class Case:
    """``components`` in the order of an overlay's list; ``values`` without namespace.create."""

    components: tuple[str, ...]
    values: Values

    def __str__(self) -> str:
        return " + ".join(("base", *self.components))


LEAST: Values = {"profile": "least-privilege"}
MONITORING: Values = {"monitoring": {"enabled": True}}
POLICY: Values = {"networkPolicy": {"enabled": True}}
OPENSHIFT: Values = {"openshift": {"enabled": True}}
DROP_IN: Values = {"oomPolicyDropIn": {"enabled": True}}
TLS: Values = {"tls": {"secretName": "oomward-metrics-tls"}}
USERS: Values = {"basicAuth": {"secretName": "oomward-metrics-users"}}
RIGHTS = ("image", "fail", "grow", "evict", "remake")
RECOVER: Values = {"recover": {"enabled": True, "admission": False}}
RECOVERING: Values = {"recover": {"enabled": True, "actions": list(RIGHTS)}}
DEFAULTS: Values = {"defaults": {"enabled": True}}
GKE: Values = {"gke": {"enabled": True}}

CASES = (
    Case((), {}),
    Case(("least-privilege",), LEAST),
    Case(("monitoring",), MONITORING),
    Case(("network-policy",), POLICY),
    Case(("openshift",), OPENSHIFT),
    Case(("openshift-least-privilege",), OPENSHIFT | LEAST),
    Case(("gke",), GKE),
    Case(("oom-policy",), DROP_IN),
    Case(("metrics-tls",), TLS),
    Case(("metrics-basic-auth",), USERS),
    Case(("uninstall",), {"uninstall": True}),
    Case(("least-privilege", "uninstall"), LEAST | {"uninstall": True}),
    Case(("recover",), RECOVER),
    Case(("recover", "recover-admission", *(f"recover-{one}" for one in RIGHTS)), RECOVERING),
    Case(
        ("monitoring", "recover", "recover-monitoring", "recover-admission"),
        {"recover": {"enabled": True}} | MONITORING,
    ),
    Case(("defaults",), DEFAULTS),
    Case(("least-privilege", "oom-policy"), LEAST | DROP_IN),
    Case(("openshift", "monitoring", "metrics-tls", "metrics-basic-auth"), OPENSHIFT | MONITORING | TLS | USERS),
    Case(("openshift-least-privilege", "oom-policy"), OPENSHIFT | LEAST | DROP_IN),
    Case(("openshift", "monitoring", "network-policy", "gke"), OPENSHIFT | MONITORING | POLICY | GKE),
    Case(("least-privilege", "monitoring", "network-policy", "gke"), LEAST | MONITORING | POLICY | GKE),
    Case(
        ("gke", "network-policy", "monitoring", "openshift-least-privilege"),
        OPENSHIFT | LEAST | MONITORING | POLICY | GKE,
    ),
)


def build(components: tuple[str, ...], namespace: str | None = None) -> list[Object]:
    """Base with these components, as an overlay of somebody's own would have them, in another namespace if one is given."""
    with tempfile.TemporaryDirectory(prefix="oomward-overlay-") as made:
        folder = Path(made).resolve()  # kustomize takes relative paths only, and resolves links first

        def from_there(path: Path) -> str:
            return os.path.relpath(path.resolve(), folder)

        overlay: dict[str, object] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [from_there(BASE)],
            "components": [from_there(MANIFESTS / "components" / component) for component in components],
        }
        if namespace is not None:
            overlay["namespace"] = namespace
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        return kustomize(folder)
