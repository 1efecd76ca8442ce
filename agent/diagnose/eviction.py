"""The words of the kubelet's eviction message (pkg/kubelet/eviction/helpers.go, evictionMessage, 1.11 to 1.36)."""

from __future__ import annotations

import re

from agent.wording.text import safe

LITTLE_BYTES = 16 << 20  # a container below this did not fill a node
NUMBER = r"([0-9]{1,30}(?:\.[0-9]{1,30})?)(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E|m)?\b"
USED = re.compile(
    rf"container (\S{{1,253}}) was using {NUMBER}, (?:request is|which exceeds its request of) {NUMBER}", re.IGNORECASE
)
UNITS = {"m": 0.001, "": 1} | {
    unit: float(base**power)
    for base, end in ((1000, ""), (1024, "i"))
    for power, unit in ((n, f"{letter}{end}") for n, letter in enumerate(("k" if base == 1000 else "K", *"MGTPE"), 1))
}
MOST_CONTAINERS = 100


def eviction_words(said: str) -> dict[str, str]:
    """``culprit``, ``used`` and ``request`` of the container that used most; ``enough`` if that is much, else ``little``."""
    found = [match.groups("") for match, _ in zip(USED.finditer(said), range(MOST_CONTAINERS), strict=False)]
    if not found:
        return {}
    name, used, unit, request, request_unit = max(found, key=lambda one: _bytes(one[1], one[2]))
    size = "little" if _bytes(used, unit) < LITTLE_BYTES else "enough"
    return {"culprit": safe(name), "used": used + unit, "request": request + request_unit, size: used + unit}


def _bytes(number: str, unit: str) -> float:
    return float(number) * UNITS.get(unit, UNITS.get(unit.upper(), 1.0))
