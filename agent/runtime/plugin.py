"""The plugin service of NRI: what the runtime asks and reports, and our answers. No input or output of its own.

Methods, events and their order: github.com/containerd/nri, pkg/api/api.proto and pkg/adaptation. An error as answer to a request
fails the container, so there is none: what can't be read is answered with nothing to change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from agent.model import (
    ContainerCreating,
    ContainerRemoved,
    RuntimeConnected,
    RuntimeContainer,
    RuntimeListed,
    RuntimeMessage,
    Sandbox,
    SandboxRemoved,
    SandboxSeen,
)
from agent.runtime.answers import created_with, oom_group_so_far, updated_with
from agent.runtime.creations import Creations
from agent.runtime.frames import BrokenStreamError
from agent.runtime.nri_pb2 import (
    ConfigureRequest,
    ConfigureResponse,
    CreateContainerRequest,
    PodOrContainerRequest,
    StateChangeEvent,
    SynchronizeRequest,
    SynchronizeResponse,
    UpdateContainerRequest,
)
from agent.runtime.parse import container_of, sandbox_of

SERVICE = "nri.pkg.api.v1alpha1.Plugin"
NOTHING = b""  # every response without a change is the empty message
MOST_LISTED = 20_000  # sandboxes and containers of one node
M = TypeVar("M", bound=Message)


class Event(IntEnum):
    """The events that we ask for; newer runtimes report them by methods of these names, older ones by StateChange."""

    RUN_POD_SANDBOX = 1
    REMOVE_POD_SANDBOX = 3
    CREATE_CONTAINER = 4
    POST_CREATE_CONTAINER = 5
    UPDATE_CONTAINER = 8
    REMOVE_CONTAINER = 11


REPORTS = {
    "RunPodSandbox": Event.RUN_POD_SANDBOX,
    "RemovePodSandbox": Event.REMOVE_POD_SANDBOX,
    "PostCreateContainer": Event.POST_CREATE_CONTAINER,
    "RemoveContainer": Event.REMOVE_CONTAINER,
}
SUBSCRIBED = sum(1 << (event - 1) for event in Event)


@dataclass(eq=False)
class Plugin:
    """The service for one connection.

    ``desired`` says which memory.oom.group (0 or 1) a container that is created or updated (True) should have, None: it did not ask.
    ``put`` takes what the loop should know; ``asked`` is called with each value that is asked for, ``unreadable`` with what could
    not be read.
    """

    desired: Callable[[Sandbox, RuntimeContainer, bool], int | None]
    put: Callable[[RuntimeMessage], None]
    asked: Callable[[int | None], None] = lambda _: None
    unreadable: Callable[[str], None] = lambda _: None
    synchronized: bool = field(default=False, init=False)
    _runtime: str = field(default="", init=False)
    _creations: Creations = field(default_factory=Creations, init=False)
    _sandboxes: list[Sandbox] = field(default_factory=list, init=False)
    _containers: list[RuntimeContainer] = field(default_factory=list, init=False)

    def answer(self, method: str, payload: bytes) -> bytes | None:
        """The payload of the response; None: there is no such method. Raises BrokenStreamError."""
        requests = {
            "Configure": self._configure,
            "Synchronize": self._synchronize,
            "CreateContainer": self._create,
            "UpdateContainer": self._update,
            "StateChange": self._state_change,
        }
        if method in requests:
            return requests[method](payload)
        if method in REPORTS:
            report = self._read(PodOrContainerRequest, payload, method)
            return NOTHING if report is None else self._report(REPORTS[method], report)
        return NOTHING if method == "Shutdown" else None

    def _read(self, kind: type[M], payload: bytes, method: str) -> M | None:
        try:
            return kind.FromString(payload)
        except DecodeError as error:
            self.unreadable(f"{method}: {error}")
            return None

    def _configure(self, payload: bytes) -> bytes:
        request = self._read(ConfigureRequest, payload, "Configure")
        if request is None:
            raise BrokenStreamError("its Configure can't be read")  # no events in the answer would mean all of them
        self._runtime = f"{request.runtime_name} {request.runtime_version}".strip()
        return ConfigureResponse(events=SUBSCRIBED).SerializeToString()

    def _synchronize(self, payload: bytes) -> bytes:
        """All pods and containers. If they are many, in several messages; each but the last says so, and so must its answer."""
        request = self._read(SynchronizeRequest, payload, "Synchronize")
        if request is None:
            raise BrokenStreamError("its Synchronize can't be read")
        self._sandboxes += filter(None, map(sandbox_of, request.pods))
        self._containers += filter(None, map(container_of, request.containers))
        if len(self._sandboxes) + len(self._containers) > MOST_LISTED:
            raise BrokenStreamError(f"more than {MOST_LISTED} pods and containers")
        if request.more:
            return SynchronizeResponse(more=True).SerializeToString()
        self.put(RuntimeConnected(self._runtime))
        self.put(RuntimeListed(tuple(self._sandboxes), tuple(self._containers)))
        self._sandboxes, self._containers, self.synchronized = [], [], True
        return NOTHING

    def _create(self, payload: bytes) -> bytes:
        request = self._read(CreateContainerRequest, payload, "CreateContainer")
        if request is None or (about := self._about(request)) is None:
            return NOTHING
        oom_group, so_far = self.desired(*about, False), oom_group_so_far(request.container)
        if oom_group is not None and not self._creations.may_adjust(*about, so_far, oom_group):
            oom_group = None
        self.put(ContainerCreating(*about, oom_group))  # first: the loop knows its name before there is a cgroup
        self.asked(oom_group)
        if oom_group is None:
            self._creations.started_without(*about)
            return NOTHING
        self._creations.started(*about, so_far)
        return created_with(oom_group).SerializeToString()

    def _update(self, payload: bytes) -> bytes:
        request = self._read(UpdateContainerRequest, payload, "UpdateContainer")
        if request is None or (about := self._about(request)) is None:
            return NOTHING
        oom_group = self.desired(*about, True)
        self.asked(oom_group)
        if oom_group is None:
            return NOTHING
        return updated_with(about[1].container_id, request.linux_resources, oom_group).SerializeToString()

    def _about(
        self, request: CreateContainerRequest | UpdateContainerRequest
    ) -> tuple[Sandbox, RuntimeContainer] | None:
        sandbox, container = sandbox_of(request.pod), container_of(request.container)
        return None if sandbox is None or container is None else (sandbox, container)

    def _state_change(self, payload: bytes) -> bytes:
        change = self._read(StateChangeEvent, payload, "StateChange")
        return NOTHING if change is None else self._report(change.event, change)

    def _report(self, event: int, report: PodOrContainerRequest | StateChangeEvent) -> bytes:
        match event:
            case Event.RUN_POD_SANDBOX if (sandbox := sandbox_of(report.pod)) is not None:
                self.put(SandboxSeen(sandbox))
            case Event.REMOVE_POD_SANDBOX:
                self.put(SandboxRemoved(report.pod.id))
            case Event.POST_CREATE_CONTAINER:
                if (failed := self._creations.finished(report.container.id)) is not None:
                    self.put(failed)
            case Event.REMOVE_CONTAINER:
                self._creations.removed(report.container.id)
                self.put(ContainerRemoved(report.container.id))
        return NOTHING
