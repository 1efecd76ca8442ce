"""Fuzz target for what the runtime sends by NRI: any bytes are answered, or end the connection with a reason; nothing else is raised.

The first byte says how large the pieces are in which the rest arrives, and what each container asks for.
"""

from __future__ import annotations

from agent.model import RuntimeMessage
from agent.runtime.frames import BrokenStreamError, Frames, framed
from agent.runtime.nri_pb2 import CreateContainerResponse, UpdateContainerResponse
from agent.runtime.plugin import Plugin
from agent.runtime.ttrpc import Call, Messages, response

CONNECTIONS = (1, 2)
MODES = (None, 0, 1)


def check(data: bytes) -> None:
    """Feed it to one connection, as session.py does, and look at each answer."""
    first, stream = (data[0] if data else 0), data[1:]
    size, mode = 1 + first // 3, MODES[first % 3]
    messages: list[RuntimeMessage] = []
    plugin = Plugin(lambda *_: mode, messages.append)
    frames, streams = Frames(), {number: Messages() for number in CONNECTIONS}
    try:
        for at in range(0, len(stream), size):
            for number, payload in frames.feed(stream[at : at + size]):
                if number in streams:
                    for message in streams[number].feed(payload):
                        if isinstance(message, Call):
                            _check_answer(message, plugin.answer(message.method, message.payload), mode)
    except BrokenStreamError as error:
        if not str(error) or len(str(error)) > 500:
            raise AssertionError("the reason is no sentence") from error


def _check_answer(call: Call, payload: bytes | None, mode: int | None) -> None:
    if payload is None:
        return
    (again,) = Messages().feed(b"".join(data for _, data in Frames().feed(framed(1, response(call.stream, payload)))))
    if again.payload != payload:
        raise AssertionError(f"{payload!r} was answered, and {again.payload!r} arrives")
    expected = {} if mode is None else {"memory.oom.group": str(mode)}
    if call.method == "CreateContainer" and payload:
        adjusted = CreateContainerResponse.FromString(payload)
        if dict(adjusted.adjust.linux.resources.unified) != expected or mode is None:
            raise AssertionError(f"{payload!r} asks for something else than {mode}")
    if call.method == "UpdateContainer" and payload:
        (update,) = UpdateContainerResponse.FromString(payload).update
        if update.linux.resources.unified.get("memory.oom.group") != expected.get("memory.oom.group") or mode is None:
            raise AssertionError(f"{payload!r} asks for something else than {mode}")
