"""Kubernetes' quantities, as the API server reads and writes them.

k8s.io/apimachinery pkg/api/resource/quantity.go: ParseQuantity and CanonicalizeBytes.
"""

from __future__ import annotations

import copy
import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import Any

Json = dict[str, Any]

PARTS = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)")
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
EXPONENT = re.compile(r"[eE][+-]?[0-9]+")
NANO = Decimal("1e-9")
MOST = Decimal(2**63 - 1)  # of those with a binary suffix
MOST_EXPONENT = 100  # ours: nobody needs more


def parse(text: str) -> Decimal:
    """Its value; what is smaller than a billionth is rounded away from zero. Raises ValueError."""
    match = PARTS.fullmatch(text)
    if not text or match is None:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    sign, whole, part, suffix = match.groups(default="")
    with localcontext(prec=400):
        value = Decimal(f"{whole or 0}.{part or 0}") * _factor(suffix)
        if suffix in BINARY:
            value = min(value, MOST)
        value = value.quantize(NANO, ROUND_CEILING)
    return -value if sign == "-" else value


def _factor(suffix: str) -> Decimal:
    if suffix in BINARY:
        return Decimal(2 ** BINARY[suffix])
    if suffix in DECIMAL:
        return Decimal(10) ** DECIMAL[suffix]
    if EXPONENT.fullmatch(suffix) and abs(int(suffix[1:])) <= MOST_EXPONENT:
        return Decimal(10) ** int(suffix[1:])
    raise ValueError("unable to parse quantity's suffix")


def canonical(text: str) -> str:
    """As the API server gives it back: the largest suffix of its kind without a fraction. Raises ValueError."""
    value = parse(text)
    if not value:
        return "0"
    suffix = text.lstrip("+-.0123456789")
    if suffix in BINARY and abs(value) >= 1024 and value == value.to_integral_value(ROUND_FLOOR):
        size = int(value)
        unit = max((one for one in BINARY if size % 2 ** BINARY[one] == 0), key=BINARY.__getitem__, default="")
        return f"{size >> BINARY.get(unit, 0)}{unit}"
    with localcontext(prec=400):
        powers = [one for one in DECIMAL if value % (Decimal(10) ** DECIMAL[one]) == 0]
        unit = max(powers, key=DECIMAL.__getitem__)
        number = int(value / Decimal(10) ** DECIMAL[unit])
    exponent = DECIMAL[unit]
    if EXPONENT.fullmatch(suffix):
        return f"{number}e{exponent}" if exponent else str(number)
    return f"{number}{unit}"


def canonical_pod(pod: Json) -> Json:
    """The pod with its containers' resources in their canonical form."""
    made = copy.deepcopy(pod)
    for field in ("containers", "initContainers"):
        for one in made["spec"].get(field) or []:
            resources = one.get("resources") or {}
            for part in ("limits", "requests"):
                if part in resources:
                    resources[part] = {what: canonical(str(value)) for what, value in resources[part].items()}
    return made
