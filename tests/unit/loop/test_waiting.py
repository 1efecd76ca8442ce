"""What the loop waits for."""

from __future__ import annotations

import os
import select
import socket
import time

from agent.loop.waiting import Waiting


def test_only_what_is_ready_is_named_and_nothing_within_the_time_is_no_error() -> None:
    waiting, (reader, writer) = Waiting(), os.pipe()
    waiting.register(reader)
    assert waiting.wait(0.0) == {}
    began = time.monotonic()
    assert waiting.wait(0.0001) == {}
    assert time.monotonic() - began >= 0.0001, "it sleeps, rather than turn round and round"
    os.write(writer, b"x")
    assert waiting.wait(10.0) == {reader: select.EPOLLIN}
    waiting.unregister(reader)
    assert waiting.wait(0.0) == {}
    waiting.close()
    os.close(reader)
    os.close(writer)


def test_urgent_data_is_waited_for_without_what_can_be_read() -> None:
    """As PSI's triggers, which can always be read."""
    waiting, listener = Waiting(), socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
        waiting.register(server.fileno(), select.EPOLLPRI | select.EPOLLERR)
        client.send(b"ordinary")
        assert waiting.wait(0.05) == {}
        client.send(b"!", socket.MSG_OOB)
        assert waiting.wait(10.0) == {server.fileno(): select.EPOLLPRI}
    waiting.close()


def test_a_descriptor_that_is_closed_already_can_be_left_out() -> None:
    """As the kernel's log is when it can't be read any more; its number may be another file's by then."""
    waiting, (reader, writer) = Waiting(), os.pipe()
    waiting.register(reader)
    os.close(reader)
    waiting.unregister(reader)
    waiting.register(writer)
    os.close(writer)
    other = os.open(os.devnull, os.O_RDONLY)
    waiting.unregister(writer)
    os.close(other)
    waiting.close()
