"""What the container runtime says of its pods and containers, by NRI; and the messages of its thread to the loop."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model.pods import Pod


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod sandbox. ``pod`` is the pod as it was when the sandbox was created, without containers and status.

    The ``uid`` of a static pod is the kubelet's own here, its config hash, not that of its mirror pod in the API.
    """

    sandbox_id: str
    pod: Pod


@dataclass(frozen=True, slots=True)
class RuntimeContainer:
    """A container, of any kind, known by name before it has a cgroup. ``container_id`` is the bare id (64 hex)."""

    container_id: str
    name: str
    sandbox_id: str


@dataclass(frozen=True, slots=True)
class RuntimeConnected:
    """The runtime has accepted us: ``runtime`` is its name and version, for people."""

    runtime: str


@dataclass(frozen=True, slots=True)
class RuntimeLost:
    """The runtime doesn't ask us any more, or refused us; ``why`` is a sentence for people, "" if there is no socket."""

    why: str


@dataclass(frozen=True, slots=True)
class RuntimeListed:
    """All pods and containers that the runtime has: others are gone."""

    sandboxes: tuple[Sandbox, ...]
    containers: tuple[RuntimeContainer, ...]


@dataclass(frozen=True, slots=True)
class SandboxSeen:
    """A pod sandbox that was started."""

    sandbox: Sandbox


@dataclass(frozen=True, slots=True)
class SandboxRemoved:
    sandbox_id: str


@dataclass(frozen=True, slots=True)
class ContainerCreating:
    """A container that the runtime is about to create; ``oom_group`` is the value that we asked for, None: none."""

    sandbox: Sandbox
    container: RuntimeContainer
    oom_group: int | None


@dataclass(frozen=True, slots=True)
class ContainerRemoved:
    container_id: str


@dataclass(frozen=True, slots=True)
class CreationFailed:
    """The runtime gave up a container that it was to create with our value, and has created it without.

    ``conflict``: another value was there before ours.
    """

    sandbox: Sandbox
    container: RuntimeContainer
    conflict: bool


RuntimeMessage = (
    RuntimeConnected
    | RuntimeLost
    | RuntimeListed
    | SandboxSeen
    | SandboxRemoved
    | ContainerCreating
    | ContainerRemoved
    | CreationFailed
)
