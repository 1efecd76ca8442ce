"""ValidatingAdmissionPolicies as the API server judges by them (k8s.io/apiserver pkg/admission/plugin/policy/validating).

Takes a policy's own text and a request: object, oldObject, request and namespaceObject, as the API server gives them to expressions.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.lab.cel import CelError, Program, untyped
from tests.lab.quantity import canonical_pod

Json = dict[str, Any]
GIVEN = ("object", "oldObject", "request", "namespaceObject")
LEFT_OUT_IF_EMPTY = ("labels", "annotations", "finalizers", "ownerReferences")
OF_NAMESPACE = (
    "name",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
    "annotations",
    "finalizers",
)


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy with its binding. ``resource``: such as ``pods/resize``."""

    name: str
    binding: str
    resource: str
    operation: str
    conditions: tuple[Program, ...]
    variables: tuple[tuple[str, Program], ...]
    validations: tuple[tuple[Program, str], ...]

    def denies(self, given: Mapping[str, Any]) -> str | None:
        """The API server's message, None: it allows the request. An expression without a value denies (failurePolicy Fail)."""
        why = self._why(given)
        start = f"ValidatingAdmissionPolicy '{self.name}' with binding '{self.binding}' denied request"
        return None if why is None else f"{start}: {why}"

    def _why(self, given: Mapping[str, Any]) -> str | None:
        try:
            if not all(one(given) is True for one in self.conditions):
                return None
            values = dict(given)
            for name, program in self.variables:
                values[f"variables.{name}"] = program(values)
            return next((message for program, message in self.validations if program(values) is not True), None)
        except CelError as error:
            return str(error)


@cache
def policy(file: Path) -> Policy:
    """From a manifest and the binding beside it. Raises CelError."""
    obj = yaml.safe_load(file.read_text())
    binding = yaml.safe_load(file.with_name(f"{file.stem}-binding.yaml").read_text())
    spec = obj["spec"]
    (rule,) = spec["matchConstraints"]["resourceRules"]
    named = [(one["name"], one["expression"]) for one in spec.get("variables", [])]
    env = untyped(*GIVEN, *(f"variables.{name}" for name, _ in named))
    return Policy(
        obj["metadata"]["name"],
        binding["metadata"]["name"],
        rule["resources"][0],
        rule["operations"][0],
        tuple(env.compile(one["expression"]) for one in spec.get("matchConditions", [])),
        tuple((name, env.compile(text)) for name, text in named),
        tuple((env.compile(one["expression"]), one["message"]) for one in spec["validations"]),
    )


def given(new: Json, old: Json | None, request: Json, namespace: Json) -> Json:
    """The variables of an expression."""
    metadata = {key: value for key, value in namespace["metadata"].items() if key in OF_NAMESPACE and value}
    return {
        "object": served(new),
        "oldObject": None if old is None else served(old),
        "request": request,
        "namespaceObject": {
            "metadata": metadata,
            "spec": namespace.get("spec", {}),
            "status": namespace.get("status", {}),
        },
    }


def served(obj: Json) -> Json:
    """As the API server has it in memory: nothing empty in the metadata, and quantities in their canonical form."""
    made = canonical_pod(obj) if "spec" in obj else copy.deepcopy(obj)
    metadata = made["metadata"]
    for key in LEFT_OUT_IF_EMPTY:
        if not metadata.get(key):
            metadata.pop(key, None)
    metadata.setdefault("creationTimestamp", None)
    for field in ("containers", "initContainers"):
        for one in made.get("spec", {}).get(field) or []:
            one.setdefault("resources", {})
    return made
