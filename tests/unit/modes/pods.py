"""Pods for the tests of policy, made in a line."""

from __future__ import annotations

from collections.abc import Mapping

from agent.model import MODE_ANNOTATION_PREFIX, MODE_LABEL, ContainerKind, Pod, PodContainer


def a_container(name: str, *, container_id: str | None = None, limit_bytes: int | None = None) -> PodContainer:
    return PodContainer(name, ContainerKind.REGULAR, container_id=container_id, limit_bytes=limit_bytes)


def a_pod(
    *containers: str | PodContainer,
    namespace: str = "shop",
    label: str | None = None,
    labels: Mapping[str, str] | None = None,
    modes: Mapping[str, str] | None = None,
) -> Pod:
    """``label`` is the mode label's value, ``modes`` the annotations' by container name."""
    return Pod(
        uid="0b9d6a64-6c2f-4a5e-8f53-7e3a5c0e9d11",
        namespace=namespace,
        name="herder-1",
        node_name="node-1",
        labels={**(labels or {}), **({MODE_LABEL: label} if label is not None else {})},
        annotations={MODE_ANNOTATION_PREFIX + name: mode for name, mode in (modes or {}).items()},
        containers=tuple(c if isinstance(c, PodContainer) else a_container(c) for c in containers or ("herder",)),
    )
