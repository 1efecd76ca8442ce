"""What the runtime asks and reports, and what it is answered: never an error, and never more than was asked for."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import (
    ContainerCreating,
    ContainerRemoved,
    CreationFailed,
    RuntimeConnected,
    RuntimeContainer,
    RuntimeListed,
    RuntimeMessage,
    Sandbox,
    SandboxRemoved,
    SandboxSeen,
)
from agent.runtime import plugin as plugin_module
from agent.runtime.frames import BrokenStreamError
from agent.runtime.nri_pb2 import (
    ConfigureRequest,
    ConfigureResponse,
    Container,
    CreateContainerRequest,
    CreateContainerResponse,
    LinuxResources,
    PodSandbox,
    SynchronizeRequest,
    SynchronizeResponse,
    UpdateContainerResponse,
)
from agent.runtime.plugin import MOST_LISTED, Event, Plugin
from tests.unit.runtime.wire import (
    ID,
    REQUESTED,
    SANDBOX_ID,
    a_container,
    a_sandbox,
    about,
    change,
    create,
    our_container,
    update,
)

UNREADABLE = b"\xff\xff"
REQUESTS = ("CreateContainer", "UpdateContainer", "StateChange", "RunPodSandbox", "RemovePodSandbox")
OTHERS = ("PostCreateContainer", "RemoveContainer")


class Asked:
    """A plugin, and all that came of it in its order. ``mode`` is what every container asks for."""

    def __init__(self, mode: int | None = None) -> None:
        self.mode = mode
        self.log: list[object] = []
        self.plugin = Plugin(self._desired, self._put, lambda mode: self.log.append(("asked", mode)), self.log.append)

    def _desired(self, sandbox: Sandbox, container: RuntimeContainer, running: bool) -> int | None:
        self.log.append(("desired", sandbox.pod.name, container.name, running))
        return self.mode

    def _put(self, message: RuntimeMessage) -> None:
        self.log.append(message)

    @property
    def messages(self) -> list[object]:
        return [each for each in self.log if not isinstance(each, tuple | str)]

    def create(self, payload: bytes | None = None) -> str | None:
        """The value in the answer; None: nothing is changed."""
        answer = self.plugin.answer("CreateContainer", create() if payload is None else payload)
        assert answer is not None
        unified = CreateContainerResponse.FromString(answer).adjust.linux.resources.unified
        assert (answer == b"") == (not unified)
        return unified.get("memory.oom.group")

    def synchronize(
        self, pods: Iterable[PodSandbox] = (), containers: Iterable[Container] = (), *, more: bool = False
    ) -> bytes | None:
        request = SynchronizeRequest(pods=pods, containers=containers, more=more)
        return self.plugin.answer("Synchronize", request.SerializeToString())


# ----------------------------------------------------------------------------------------------------------- the beginning


def test_configure_subscribes_to_the_six_events_that_are_needed_and_to_no_other() -> None:
    answer = Asked().plugin.answer("Configure", ConfigureRequest(runtime_name="containerd").SerializeToString())
    assert answer is not None
    events = ConfigureResponse.FromString(answer).events
    assert {n for n in range(1, 32) if events >> (n - 1) & 1} == {1, 3, 4, 5, 8, 11}
    assert events == 0b100_1001_1101


def test_the_runtimes_name_is_reported_when_it_has_listed_its_containers() -> None:
    asked = Asked()
    asked.plugin.answer(
        "Configure", ConfigureRequest(runtime_name="containerd", runtime_version="v2.1.9").SerializeToString()
    )
    assert not asked.plugin.synchronized
    assert asked.messages == []
    assert asked.synchronize([a_sandbox()], [a_container()]) == b""
    connected, listed = asked.messages
    assert connected == RuntimeConnected("containerd v2.1.9")
    assert isinstance(listed, RuntimeListed)
    assert [each.sandbox_id for each in listed.sandboxes] == [SANDBOX_ID]
    assert listed.containers == (our_container(),)
    assert asked.plugin.synchronized


def test_many_pods_come_in_several_messages_and_each_but_the_last_is_answered_with_more() -> None:
    asked = Asked()
    parts: list[tuple[list[PodSandbox], list[Container]]] = [
        ([a_sandbox(id="s1")], []), ([a_sandbox(id="s2")], [a_container("c1")]), ([], [a_container("c2")]),
    ]  # fmt: skip
    for pods, containers in parts[:-1]:
        answer = asked.synchronize(pods, containers, more=True)
        assert answer is not None
        assert SynchronizeResponse.FromString(answer).more
        assert asked.messages == []
    assert asked.synchronize(*parts[-1]) == b""
    (_, listed) = asked.messages
    assert isinstance(listed, RuntimeListed)
    assert [each.sandbox_id for each in listed.sandboxes] == ["s1", "s2"]
    assert [each.container_id for each in listed.containers] == ["c1", "c2"]


def test_a_second_list_begins_without_the_first() -> None:
    asked = Asked()
    asked.synchronize([a_sandbox(id="s1")], [a_container("c1")])
    asked.synchronize([a_sandbox(id="s2")], [])
    listed = asked.messages[-1]
    assert isinstance(listed, RuntimeListed)
    assert ([each.sandbox_id for each in listed.sandboxes], listed.containers) == (["s2"], ())


def test_what_is_no_pod_of_the_kubelet_is_left_out_of_the_list() -> None:
    asked = Asked()
    asked.synchronize([a_sandbox(uid=""), a_sandbox()], [a_container(name=""), a_container()])
    listed = asked.messages[-1]
    assert isinstance(listed, RuntimeListed)
    assert (len(listed.sandboxes), len(listed.containers)) == (1, 1)


def test_more_pods_and_containers_than_a_node_can_have_break_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_module, "MOST_LISTED", 4)
    asked = Asked()
    asked.synchronize([a_sandbox()] * 2, [a_container()] * 2, more=True)
    with pytest.raises(BrokenStreamError, match="more than 4 pods and containers"):
        asked.synchronize([a_sandbox()], more=True)
    assert asked.messages == []
    assert MOST_LISTED >= 40 * 500, "500 pods, which is the most that a kubelet is run with"


@pytest.mark.parametrize("method", ["Configure", "Synchronize"])
def test_a_beginning_that_cannot_be_read_breaks_the_stream(method: str) -> None:
    asked = Asked()
    with pytest.raises(BrokenStreamError, match=f"its {method} can't be read"):
        asked.plugin.answer(method, UNREADABLE)
    assert asked.messages == []


# ------------------------------------------------------------------------------------------------------------- the questions


@pytest.mark.parametrize(("mode", "value"), [(0, "0"), (1, "1"), (None, None)])
def test_a_creation_is_answered_with_the_mode_that_the_container_asks_for(mode: int | None, value: str | None) -> None:
    asked = Asked(mode)
    assert asked.create() == value
    (creating,) = asked.messages
    assert isinstance(creating, ContainerCreating)
    assert (creating.container, creating.oom_group) == (our_container(), mode)
    assert creating.sandbox.pod.name == "herder-1"
    assert asked.log == [("desired", "herder-1", "main", False), creating, ("asked", mode)]


def test_the_loop_has_the_name_before_the_runtime_has_the_answer() -> None:
    """``put`` is called while the answer is made: what raises there leaves no answer behind."""

    def put(_: RuntimeMessage) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Plugin(lambda *_: 0, put).answer("CreateContainer", create())


@pytest.mark.parametrize("mode", [0, 1])
def test_where_the_value_is_asked_for_already_nothing_is_changed_and_the_container_is_named(mode: int) -> None:
    asked = Asked(mode)
    assert asked.create(create(a_container(so_far=str(mode)))) is None
    assert [message.oom_group for message in asked.messages if isinstance(message, ContainerCreating)] == [None]
    assert asked.log[-1] == ("asked", None)


def test_a_container_that_failed_with_us_is_created_without_us() -> None:
    asked = Asked(0)
    assert asked.create() == "0"
    asked.plugin.answer("RemoveContainer", about())
    assert asked.messages[1:] == [ContainerRemoved(ID)]
    assert asked.create(create(a_container("b" * 64))) is None
    asked.plugin.answer("PostCreateContainer", about(a_container("b" * 64)))
    (failed,) = [message for message in asked.messages if isinstance(message, CreationFailed)]
    assert (failed.container, failed.conflict) == (our_container(), False)
    assert asked.create(create(a_container("c" * 64, "other"))) == "0"


def test_a_container_that_fails_without_us_as_well_is_not_reported() -> None:
    asked = Asked(0)
    for cid in (ID, "b" * 64, "c" * 64):
        asked.create(create(a_container(cid)))
        asked.plugin.answer("RemoveContainer", about(a_container(cid)))
    assert not [message for message in asked.messages if isinstance(message, CreationFailed)]


def test_a_conflict_is_one_where_another_value_was_there() -> None:
    asked = Asked(0)
    asked.create(create(a_container(so_far="1")))
    asked.plugin.answer("RemoveContainer", about())
    asked.create(create(a_container("b" * 64, so_far="1")))
    asked.plugin.answer("PostCreateContainer", about(a_container("b" * 64)))
    assert [m.conflict for m in asked.messages if isinstance(m, CreationFailed)] == [True]


@pytest.mark.parametrize("post_create", [("PostCreateContainer", about()), ("StateChange", change(5))])
def test_a_container_that_was_created_has_not_failed_when_it_is_removed(post_create: tuple[str, bytes]) -> None:
    asked = Asked(0)
    asked.create()
    asked.plugin.answer(*post_create)
    asked.plugin.answer("RemoveContainer", about())
    assert asked.messages[1:] == [ContainerRemoved(ID)]
    assert asked.create(create(a_container("b" * 64))) == "0"


def test_a_container_that_we_left_alone_cannot_have_failed_because_of_us() -> None:
    asked = Asked(None)
    asked.create()
    asked.plugin.answer("RemoveContainer", about())
    assert asked.messages[1:] == [ContainerRemoved(ID)]


@pytest.mark.parametrize("mode", [0, 1])
def test_an_update_is_answered_with_all_that_was_requested_and_the_mode(mode: int) -> None:
    asked = Asked(mode)
    answer = asked.plugin.answer("UpdateContainer", update(unified={"memory.oom.group": "1", "memory.high": "5"}))
    assert answer is not None
    (found,) = UpdateContainerResponse.FromString(answer).update
    assert (found.container_id, found.ignore_failure) == (ID, True)
    assert found.linux.resources.unified == {"memory.oom.group": str(mode), "memory.high": "5"}
    found.linux.resources.unified.clear()
    assert found.linux.resources == LinuxResources.FromString(REQUESTED)
    assert found.linux.resources.SerializeToString() == REQUESTED
    assert asked.log == [("desired", "herder-1", "main", True), ("asked", mode)]


def test_an_update_of_a_container_without_a_mode_changes_nothing() -> None:
    asked = Asked(None)
    assert asked.plugin.answer("UpdateContainer", update()) == b""
    assert asked.log == [("desired", "herder-1", "main", True), ("asked", None)]


@pytest.mark.parametrize("method", ["CreateContainer", "UpdateContainer"])
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        create(a_container(name="")),
        create(a_container(container_id="")),
        create(pod=a_sandbox(uid="")),
        CreateContainerRequest(container=a_container()).SerializeToString(),
    ],
    ids=["empty", "no name", "no id", "no uid", "no pod"],
)
def test_what_is_no_container_of_the_kubelet_is_left_alone(method: str, payload: bytes) -> None:
    asked = Asked(0)
    assert asked.plugin.answer(method, payload) == b""
    assert asked.log == []


# --------------------------------------------------------------------------------------------------------------- the reports


def test_a_sandbox_that_starts_is_reported() -> None:
    asked = Asked()
    for method, payload in (("RunPodSandbox", about()), ("StateChange", change(Event.RUN_POD_SANDBOX))):
        assert asked.plugin.answer(method, payload) == b""
    assert [m.sandbox.sandbox_id for m in asked.messages if isinstance(m, SandboxSeen)] == [SANDBOX_ID] * 2
    asked.plugin.answer("RunPodSandbox", about(pod=a_sandbox(uid="")))
    assert len(asked.messages) == 2, "one that is none of the kubelet's is not"


def test_a_sandbox_that_is_removed_is_reported() -> None:
    asked = Asked()
    for method, payload in (("RemovePodSandbox", about()), ("StateChange", change(Event.REMOVE_POD_SANDBOX))):
        assert asked.plugin.answer(method, payload) == b""
    assert asked.messages == [SandboxRemoved(SANDBOX_ID)] * 2


def test_a_container_that_is_removed_is_reported() -> None:
    asked = Asked()
    for method, payload in (("RemoveContainer", about()), ("StateChange", change(Event.REMOVE_CONTAINER))):
        assert asked.plugin.answer(method, payload) == b""
    assert asked.messages == [ContainerRemoved(ID)] * 2


@pytest.mark.parametrize("event", [0, 2, 4, 6, 7, 8, 9, 10, 12, 13, 10_000, -1])
def test_events_that_we_did_not_ask_for_or_do_not_know_are_no_fault(event: int) -> None:
    asked = Asked(0)
    assert asked.plugin.answer("StateChange", change(event)) == b""
    assert asked.log == []


@pytest.mark.parametrize("method", ["", "StopContainer", "ValidateContainerAdjustment", "configure", "_configure"])
def test_methods_that_we_do_not_have_get_no_answer(method: str) -> None:
    asked = Asked(0)
    assert asked.plugin.answer(method, UNREADABLE) is None
    assert asked.log == []


def test_a_shutdown_is_acknowledged() -> None:
    assert Asked().plugin.answer("Shutdown", b"") == b""


@pytest.mark.parametrize("method", [*REQUESTS, *OTHERS])
def test_a_request_that_cannot_be_read_changes_nothing_and_is_counted_with_its_method(method: str) -> None:
    asked = Asked(0)
    assert asked.plugin.answer(method, UNREADABLE) == b""
    (what,) = asked.log
    assert isinstance(what, str)
    assert what.startswith(f"{method}: ")


@given(st.sampled_from(["Configure", "Synchronize", *REQUESTS, *OTHERS, "Shutdown", "x"]), st.binary(max_size=80))
def test_any_bytes_are_answered_or_break_the_stream(method: str, payload: bytes) -> None:
    try:
        answer = Asked(0).plugin.answer(method, payload)
    except BrokenStreamError:
        assert method in ("Configure", "Synchronize")
    else:
        assert (answer is None) == (method == "x")
