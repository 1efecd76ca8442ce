"""Does Kubernetes take these objects? By its own published schemas, each supported version's, unknown fields refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.manifests.objects import Object, name
from tests.manifests.tools import SET_UP, ToolError

OLDEST = "1.25"
# Kinds that no Kubernetes has: they come with an operator or with OpenShift. tests/unit/manifests/ looks at their fields, promtool
# at the rules.
OF_OTHERS = {
    "monitoring.coreos.com/v1": ("PodMonitor", "PrometheusRule"),
    "mlops.example.dev/v1": ("NotebookValidationJob",),
    "kyverno.io/v1": ("ClusterPolicy",),
    "security.openshift.io/v1": ("SecurityContextConstraints",),
}
# Kinds that Kubernetes has since a version; components that need them say so.
SINCE = {
    "ValidatingAdmissionPolicy": "1.30",
    "ValidatingAdmissionPolicyBinding": "1.30",
    "MutatingAdmissionPolicy": "1.36",
    "MutatingAdmissionPolicyBinding": "1.36",
}


def supported_versions() -> list[str]:
    """``1.25`` up to the newest that kubernetes-validate knows. Raises ToolError when it does not reach back that far."""
    validate = _library()
    known = sorted({validate.utils.major_minor(version) for version in validate.utils.all_versions()}, key=_number)
    wanted = [version for version in known if _number(version) >= _number(OLDEST)]
    minors = [_number(version)[1] for version in wanted]
    if wanted[:1] != [OLDEST] or minors != list(range(minors[0], minors[0] + len(minors))):
        raise ToolError(
            f"kubernetes-validate has no schemas of every version from {OLDEST} on, but of {', '.join(known)}"
        )
    return wanted


def complaints(items: Iterable[Object], versions: Iterable[str]) -> list[str]:
    """What each version finds wrong, a line each. Equal objects are looked at once; kinds of OF_OTHERS are passed over."""
    validate, distinct = (
        _library(),
        {json.dumps(item, sort_keys=True): item for item in items if not is_of_others(item)},
    )
    found = []
    for version in versions:
        for item in distinct.values():
            if _number(version) < _number(SINCE.get(item["kind"], OLDEST)):
                continue
            try:
                checked = validate.validate(item, version, strict=True)
            except validate.ValidationError as error:
                where = ".".join(str(part) for part in error.path)
                found.append(f"{version}: {name(item)}: {where}: {error.message}")
            except validate.SchemaNotFoundError as error:
                found.append(f"{version}: {name(item)}: {error.message}")
            else:
                if checked != version:
                    found.append(
                        f"{version}: {name(item)} was checked as {checked}: kubernetes-validate lacks this version"
                    )
    return found


def is_of_others(item: Object) -> bool:
    """Whether the object's kind is one that no Kubernetes has."""
    return item["kind"] in OF_OTHERS.get(item["apiVersion"], ())


def _number(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _library() -> Any:
    try:
        import kubernetes_validate
    except ImportError as error:
        raise ToolError(f"kubernetes-validate is not installed: {SET_UP}") from error
    return kubernetes_validate
