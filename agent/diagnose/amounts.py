"""Amounts of resources in the kubelet's messages: bare numbers there, with their unit here."""

from __future__ import annotations

from collections.abc import Mapping

from agent.diagnose.memory import quantity

AMOUNTS = ("wanted", "used", "capacity", "missing", "wanted_amount")
IN_BYTES = ("memory", "ephemeral-storage", "hugepages-")


def with_units(words: Mapping[str, str]) -> dict[str, str]:
    """CPU is in thousandths, memory and storage in bytes, the rest a number of things.

    Sources: pkg/kubelet/lifecycle/predicate.go, InsufficientResourceError; pkg/kubelet/preemption, admissionRequirement; canResizePod in
    pkg/kubelet/allocation (1.25 to 1.36).
    """
    resource = words.get("resource", "")
    return {name: _amount(resource, text) if name in AMOUNTS else text for name, text in words.items()}


def _amount(resource: str, text: str) -> str:
    if not text.isdecimal():
        return text
    if resource == "cpu":
        return f"{int(text) // 1000}" if int(text) % 1000 == 0 else f"{text}m"
    return quantity(int(text)) or text if resource.startswith(IN_BYTES) else text
