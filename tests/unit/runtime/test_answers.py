"""Answers set memory.oom.group and nothing else; an update keeps all that was requested, also what we know nothing of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.answers import created_with, oom_group_so_far, updated_with
from agent.runtime.nri_pb2 import Container, CreateContainerResponse, LinuxResources, UpdateContainerResponse
from tests.unit.runtime.wire import CPU, HUGEPAGES, ID, MEMORY, PIDS, REQUESTED, a_container, is_repeated

# One entry of the map: field 6, its length, key 1, value 2.
OURS = {value: b"\x32\x15\x0a\x10memory.oom.group\x12\x01" + str(value).encode() for value in (0, 1)}


def leaves(message: Message, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value that is set anywhere in the message, by path."""
    for field, value in message.ListFields():
        at = f"{path}/{field.name}"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield from ((f"{at}[{key}]", each) for key, each in value.items())
        elif field.message_type is not None:
            for each in value if is_repeated(field) else [value]:
                yield from leaves(each, at)
        else:
            yield at, value


@pytest.mark.parametrize("value", [0, 1])
def test_a_creation_is_answered_with_the_value_and_nothing_else(value: int) -> None:
    answer = created_with(value)
    assert dict(leaves(answer)) == {"/adjust/linux/resources/unified[memory.oom.group]": str(value)}
    inside = OURS[value]
    for number in (2, 6, 1):  # resources, linux, adjust
        inside = bytes((number << 3 | 2, len(inside))) + inside
    assert answer.SerializeToString() == inside, "nor any unknown field"


@pytest.mark.parametrize("value", [0, 1])
def test_an_update_is_answered_with_all_that_was_requested_and_the_value(value: int) -> None:
    answer = updated_with(ID, LinuxResources.FromString(REQUESTED), value)
    assert dict(leaves(answer)) == {
        "/update/container_id": ID,
        "/update/linux/resources/unified[memory.oom.group]": str(value),
        "/update/ignore_failure": True,
    }
    (update,) = answer.update
    assert _fields(update.linux.resources.SerializeToString()) == _fields(REQUESTED + OURS[value])


@pytest.mark.parametrize("field", [MEMORY, CPU, HUGEPAGES, PIDS], ids=["memory", "cpu", "hugepages", "pids"])
def test_each_requested_resource_passes_through_byte_for_byte_to_the_wire(field: bytes) -> None:
    wire = updated_with(ID, LinuxResources.FromString(field), 0).SerializeToString()
    assert field in wire
    (update,) = UpdateContainerResponse.FromString(wire).update
    assert _fields(update.linux.resources.SerializeToString()) == _fields(field + OURS[0])


@given(st.lists(st.tuples(st.integers(1, 200).filter(lambda n: n != 6), st.binary(max_size=20)), max_size=8))
def test_any_unknown_fields_pass_through_in_their_order(fields: list[tuple[int, bytes]]) -> None:
    requested = b"".join(_varint(number << 3 | 2) + _varint(len(value)) + value for number, value in fields)
    (update,) = updated_with(ID, LinuxResources.FromString(requested), 1).update
    assert requested in update.linux.resources.SerializeToString()


def test_other_unified_values_are_kept_and_the_kubelets_is_replaced() -> None:
    requested = LinuxResources(unified={"memory.high": "1000", "memory.oom.group": "1"})
    (update,) = updated_with(ID, requested, 0).update
    assert update.linux.resources.unified == {"memory.high": "1000", "memory.oom.group": "0"}
    assert requested.unified["memory.oom.group"] == "1", "what was requested stays as it was"


@pytest.mark.parametrize("so_far", [None, "0", "1", "max"])
def test_the_value_so_far_is_what_the_question_holds(so_far: str | None) -> None:
    assert oom_group_so_far(a_container(so_far=so_far)) == so_far


def test_of_a_container_without_resources_no_value_is_known() -> None:
    container = Container(id=ID)
    assert oom_group_so_far(container) is None
    assert not container.HasField("linux"), "asking for it changes nothing"


def test_nothing_to_change_is_the_empty_message() -> None:
    assert CreateContainerResponse().SerializeToString() == UpdateContainerResponse().SerializeToString() == b""


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return out + bytes((number,))


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """Number and bytes of each field, sorted: protobuf may write them in any order. All have a length below 128."""
    found = []
    while data:
        length = data[1]
        assert data[0] & 7 == 2
        assert length < 0x80
        found.append((data[0] >> 3, data[2 : 2 + length]))
        data = data[2 + length :]
    return sorted(found)
