"""A stand-in for the runtime's end of the connection: it can call the plugin as the runtime does, and misbehave."""

from __future__ import annotations

import socket

from agent.runtime.frames import Frames
from agent.runtime.nri_pb2 import ConfigureRequest, RegisterPluginRequest, Response, Status, SynchronizeRequest
from agent.runtime.plugin import SERVICE
from agent.runtime.ttrpc import HEADER, RESPONSE, Call, Messages, Reply, request, response
from tests.unit.patience import PATIENCE_S
from tests.unit.runtime.wire import a_container, a_sandbox, frame

PLUGIN, RUNTIME = 1, 2


class Standin:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(PATIENCE_S)
        self._frames = Frames()
        self._streams = {PLUGIN: Messages(), RUNTIME: Messages()}
        self._waiting: list[tuple[int, Call | Reply]] = []
        self._stream = -1

    def receive(self) -> tuple[int, Call | Reply] | None:
        """The next message of the plugin, and its connection; None: the plugin has closed."""
        while not self._waiting:
            if not (data := self.connection.recv(1 << 16)):
                return None
            for number, payload in self._frames.feed(data):
                self._waiting += [(number, message) for message in self._streams[number].feed(payload)]
        return self._waiting.pop(0)

    def send(self, number: int, message: bytes) -> None:
        self.connection.sendall(frame(number, message))

    def call(self, method: str, payload: bytes = b"", service: str = SERVICE) -> None:
        self._stream += 2
        self.send(PLUGIN, request(self._stream, service, method, payload))

    def ask(self, method: str, payload: bytes = b"") -> Reply:
        """Call a method and take the answer."""
        self.call(method, payload)
        received = self.receive()
        assert received is not None, "the plugin has closed"
        number, reply = received
        assert number == PLUGIN
        assert isinstance(reply, Reply)
        assert reply.stream == self._stream
        return reply

    def registration(self) -> RegisterPluginRequest:
        """The plugin's first message."""
        received = self.receive()
        assert received is not None
        number, call = received
        assert number == RUNTIME
        assert isinstance(call, Call)
        assert (call.stream, call.service, call.method) == (1, "nri.pkg.api.v1alpha1.Runtime", "RegisterPlugin")
        return RegisterPluginRequest.FromString(call.payload)

    def refuse(self, why: str = "invalid plugin index") -> None:
        """An error as answer to the registration."""
        body = Response(status=Status(code=3, message=why)).SerializeToString()
        self.send(RUNTIME, HEADER.pack(len(body), 1, RESPONSE, 0) + body)

    def begin(self, *, registered: bool = False) -> None:
        """As containerd does it: the registration (``registered``: it was read before) is answered after the plugin's configuration."""
        if not registered:
            self.registration()
        self.ask("Configure", ConfigureRequest(runtime_name="containerd", runtime_version="2.1.9").SerializeToString())
        self.send(RUNTIME, response(1, b""))
        listed = SynchronizeRequest(pods=[a_sandbox()], containers=[a_container()])
        self.ask("Synchronize", listed.SerializeToString())
