"""One connection to the runtime's NRI socket: register, then answer its calls until one of us ends it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

from agent.runtime.frames import BrokenStreamError, Frames, framed
from agent.runtime.nri_pb2 import RegisterPluginRequest
from agent.runtime.plugin import SERVICE, Plugin
from agent.runtime.ttrpc import Call, Messages, Reply, request, response, unimplemented

NAME = "oomward"
PLUGIN_CONNECTION, RUNTIME_CONNECTION = 1, 2  # pkg/net/multiplex/ttrpc.go
RUNTIME_SERVICE = "nri.pkg.api.v1alpha1.Runtime"
# containerd gives a plugin 5 s; a runtime that starts with many pods may take longer to list them.
REGISTERED_WITHIN_S = 30.0
SENT_WITHIN = struct.pack("ll", 2, 0)  # a timeval: the runtime waits 2 s for an answer
AT_ONCE = 1 << 16


class RefusedError(RuntimeError):
    """The runtime does not take this plugin; the message is its own."""


def serve(connection: socket.socket, index: str, plugin: Plugin, answered: Callable[[float], None]) -> str:
    """Serve the runtime; returns why the connection ended. ``answered`` gets the seconds that each answer took.

    Raises RefusedError, BrokenStreamError, and OSError: also for a runtime that does not finish the registration, or does not read.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, SENT_WITHIN)
    connection.settimeout(REGISTERED_WITHIN_S)
    register = RegisterPluginRequest(plugin_name=NAME, plugin_idx=index).SerializeToString()
    connection.sendall(framed(RUNTIME_CONNECTION, request(1, RUNTIME_SERVICE, "RegisterPlugin", register)))
    frames, streams = Frames(), {PLUGIN_CONNECTION: Messages(), RUNTIME_CONNECTION: Messages()}
    while data := connection.recv(AT_ONCE):
        received_s = time.monotonic()
        for number, payload in frames.feed(data):
            if (stream := streams.get(number)) is None:
                continue  # as the runtime does with connections that nobody opened
            for message in stream.feed(payload):
                match message:
                    case Call() if number == PLUGIN_CONNECTION:
                        connection.sendall(framed(number, _answer(message, plugin)))
                        answered(time.monotonic() - received_s)
                        if plugin.synchronized and connection.gettimeout() is not None:
                            connection.settimeout(None)
                    case Reply(error=error) if number == RUNTIME_CONNECTION and error:
                        raise RefusedError(error)
    return "the runtime closed the connection"


def _answer(call: Call, plugin: Plugin) -> bytes:
    if call.service != SERVICE:
        raise BrokenStreamError(f"a call of service {call.service[:80]!r}, not {SERVICE}")
    payload = plugin.answer(call.method, call.payload)
    return unimplemented(call.stream, call.method) if payload is None else response(call.stream, payload)
