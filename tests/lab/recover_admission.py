"""What manifests/components/recover-admission denies: the controller's writes are judged by the policies' own expressions.

Takes each write of a client (verb, path, new and old object), gives the message of the policy that denies it, or None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.admission_policies import Policy, given, policy
from tests.lab.apiobjects import Invalid
from tests.lab.apiserver import ApiServer

Json = dict[str, Any]
FOLDER = Path(__file__).parents[2] / "manifests" / "components" / "recover-admission"
NAMES = ("pods", "resize", "evictions", "creations")
ACCOUNT = "system:serviceaccount:oomward:oomward-recover"
PATH = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/(?P<kind>pods)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?")


def policies() -> tuple[Policy, ...]:
    """Raises CelError."""
    return tuple(policy(FOLDER / f"{name}.yaml") for name in NAMES)


@dataclass(frozen=True)
class RecoverAdmission:
    """Add it to ``server.objects.admission``. ``account``: who writes."""

    server: ApiServer
    account: str = ACCOUNT

    def __call__(self, verb: str, path: str, new: Json, old: Json | None) -> Invalid | None:
        match = PATH.fullmatch(path)
        if match is None:
            return None
        namespace, kind, name, sub = match.groups()
        operation = "UPDATE" if verb in ("patch", "update") and sub != "eviction" else "CREATE"
        request = {
            "operation": operation,
            "namespace": namespace,
            "name": name or new["metadata"]["name"],
            "userInfo": {"username": self.account, "groups": ["system:serviceaccounts", "system:authenticated"]},
            **({"subResource": sub} if sub else {}),
        }
        values = given(new, old if operation == "UPDATE" else None, request, self._namespace(namespace))
        matching = (
            one for one in policies() if (one.resource, one.operation) == (f"{kind}/{sub}" if sub else kind, operation)
        )
        why = next((why for one in matching if (why := one.denies(values)) is not None), None)
        return None if why is None else Invalid(why)

    def _namespace(self, name: str) -> Json:
        found: Json = self.server.objects.stored.get(("/api/v1", "namespaces", "", name), {"metadata": {"name": name}})
        return found
