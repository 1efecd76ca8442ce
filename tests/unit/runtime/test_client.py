"""The NRI thread: it connects when there is a socket, waits longer where that fails, and ends when it is to end. No test waits."""

from __future__ import annotations

import errno
import logging
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.kube.backoff import FIRST_S, MOST_S, Backoff
from agent.metrics.metrics import Metrics
from agent.model import RuntimeConnected, RuntimeListed, RuntimeLost, RuntimeMessage
from agent.runtime import session
from agent.runtime.client import RESTARTING_S, STEADY_S, NriClient
from agent.runtime.frames import BrokenStreamError
from agent.runtime.plugin import Plugin
from agent.runtime.session import RefusedError
from tests.unit.patience import PATIENCE_S
from tests.unit.runtime.standin import Standin
from tests.unit.runtime.wire import create

Serve = Callable[[Plugin], str]


class Waits(threading.Event):
    """The thread's waits, noted instead of waited out; each does the next thing of a script, the last stops the client."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []
        self.script: list[Callable[[], object]] = []
        self.at_end: Callable[[], object] = lambda: None

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        (self.script.pop(0) if self.script else self.at_end)()
        return self.is_set()


class World:
    """A client of a socket in ``folder``; ``runs`` are what becomes of its connections, in their order."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "nri.sock"
        self.now = 1000.0
        self.messages: list[RuntimeMessage] = []
        self.metrics = Metrics("1", process_metrics=False)
        self.backoff = Backoff(rand=lambda: 1.0)
        self.client = NriClient(
            self.path, "90", lambda *_: 0, self.messages.append, self.metrics, self.backoff, clock=lambda: self.now
        )
        self.waits = Waits()
        self.waits.at_end = self.client.stop
        self.client._again = self.waits
        self._listener: socket.socket | None = None

    def listen(self) -> socket.socket:
        """The runtime is there."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(100)
        self._listener.settimeout(PATIENCE_S)
        return self._listener

    def close(self) -> None:
        """The runtime is gone, and its socket with it."""
        if self._listener is not None:
            self._listener.close()
        self.path.unlink(missing_ok=True)

    def lost(self) -> list[str]:
        return [message.why for message in self.messages if isinstance(message, RuntimeLost)]

    def after(self, seconds: float) -> Callable[[], None]:
        def later() -> None:
            self.now += seconds

        return later


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="nri") as folder:  # tmp_path is too long for a socket's path
        world = World(Path(folder))
        yield world
        world.close()


@pytest.fixture
def serves(monkeypatch: pytest.MonkeyPatch) -> list[Serve]:
    """What each connection comes to, in order, instead of a session."""
    script: list[Serve] = []
    monkeypatch.setattr(session, "serve", lambda _connection, _index, plugin, _answered: script.pop(0)(plugin))
    return script


def raises(error: Exception) -> Serve:
    def serve(_: Plugin) -> str:
        raise error

    return serve


def serves_until(why: str) -> Serve:
    """A connection that was in use."""

    def serve(plugin: Plugin) -> str:
        plugin.synchronized = True
        return why

    return serve


# ------------------------------------------------------------------------------------------------------- no socket


def test_without_a_socket_it_waits_without_polling_and_says_so_once(world: World) -> None:
    world.waits.script = [lambda: None, lambda: None]
    world.client.run()
    assert world.waits.seconds == [None, None, None]
    assert world.messages == [RuntimeLost("")]


def test_a_missing_folder_is_a_missing_socket(world: World) -> None:
    world.client._path = world.path.parent / "none" / "nri.sock"
    world.client.run()
    assert world.messages == [RuntimeLost("")]


def test_a_look_wakes_it_when_the_socket_is_there_and_not_before(world: World, serves: list[Serve]) -> None:
    seen: list[bool] = []

    def looks() -> None:
        world.client.look()
        seen.append(world.waits.is_set())
        world.listen()
        world.client.look()
        seen.append(world.waits.is_set())

    world.waits.script = [looks]
    serves += [serves_until("the runtime closed the connection")]
    world.client.run()
    assert seen == [False, True]
    assert world.lost() == ["", "the runtime closed the connection"]


def test_a_look_at_a_path_that_cannot_be_looked_at_does_the_loop_no_harm(world: World) -> None:
    def looks() -> None:
        world.client._path = world.path.parent / ("x" * 300)
        world.client.look()

    world.waits.script = [looks]
    world.client.run()
    assert world.waits.seconds[0] is None


def test_a_look_while_it_is_connected_or_waits_after_a_failure_changes_nothing(
    world: World, serves: list[Serve]
) -> None:
    world.listen()
    seen: list[bool] = []

    def look(plugin: Plugin | None = None) -> str:
        world.client.look()
        seen.append(world.waits.is_set())
        return "done"

    serves += [look, raises(RefusedError("no"))]
    world.waits.script = [look]
    world.client.run()
    assert seen == [False, False]


# --------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RefusedError("invalid plugin index"), "the runtime refuses the plugin: invalid plugin index"),
        (BrokenStreamError("a frame of 9 bytes"), "the runtime sent a frame of 9 bytes"),
        (OSError(errno.EPIPE, "Broken pipe"), "the connection failed: Broken pipe"),
        (TimeoutError("timed out"), "the connection failed: timed out"),
    ],
)
def test_what_fails_is_reported_once_and_tried_ever_more_slowly(
    world: World, serves: list[Serve], error: Exception, why: str
) -> None:
    world.listen()
    serves += [raises(error)] * 9
    world.waits.script = [lambda: None] * 8
    world.client.run()
    assert world.messages == [RuntimeLost(why)]
    assert world.waits.seconds == [FIRST_S * 2**n for n in range(6)] + [MOST_S] * 3


def test_another_reason_is_reported(world: World, serves: list[Serve]) -> None:
    world.listen()
    serves += [raises(RefusedError("a")), raises(RefusedError("b")), raises(RefusedError("b"))]
    world.waits.script = [lambda: None] * 2
    world.client.run()
    assert world.lost() == ["the runtime refuses the plugin: a", "the runtime refuses the plugin: b"]


def test_a_socket_that_nobody_listens_on_is_tried_with_back_off(world: World) -> None:
    world.listen().close()
    world.waits.script = [lambda: None]
    world.client.run()
    assert world.lost() == [f"no connection to {world.path}: Connection refused"]
    assert world.waits.seconds == [FIRST_S, 2 * FIRST_S]


def test_a_path_that_is_too_long_for_a_socket_is_a_reason_and_no_end_of_the_thread(world: World) -> None:
    world.client._path = world.path.parent / ("x" * 200)
    world.client.run()
    (why,) = world.lost()
    assert why.endswith("AF_UNIX path too long")


# ----------------------------------------------------------------------------------------------------- after an end


def test_each_end_of_a_connection_that_was_in_use_is_reported_and_the_back_off_begins_again(
    world: World, serves: list[Serve]
) -> None:
    world.listen()

    def closed(plugin: Plugin) -> str:
        world.now += STEADY_S
        return serves_until("closed")(plugin)

    serves += [raises(RefusedError("no"))] * 3 + [closed, closed]
    world.waits.script = [lambda: None] * 4
    world.client.run()
    assert world.lost() == ["the runtime refuses the plugin: no", "closed", "closed"]
    assert world.waits.seconds == [0.5, 1.0, 2.0, 0.5, 0.5]


def test_a_runtime_that_ends_each_connection_soon_is_tried_ever_more_slowly(world: World, serves: list[Serve]) -> None:
    """Each time it lists all that it has, and creates no container meanwhile."""
    world.listen()
    serves += [serves_until("closed")] * 9
    world.waits.script = [lambda: None] * 8
    world.client.run()
    assert world.waits.seconds == [FIRST_S * 2**n for n in range(6)] + [MOST_S] * 3


def test_while_the_runtime_restarts_its_socket_is_looked_for_and_then_no_longer(
    world: World, serves: list[Serve]
) -> None:
    world.listen()

    def end(plugin: Plugin) -> str:
        world.close()
        return serves_until("closed")(plugin)

    serves += [end]
    world.waits.script = [world.after(0.5), world.after(RESTARTING_S - 0.5), world.after(0.1)]
    world.client.run()
    assert world.waits.seconds == [0.5, 1.0, 2.0, None]
    assert world.lost() == ["closed", ""]


def test_a_runtime_that_is_back_is_served_again(world: World, serves: list[Serve]) -> None:
    world.listen()

    def end(plugin: Plugin) -> str:
        world.close()
        return serves_until("first")(plugin)

    serves += [end, serves_until("second")]
    world.waits.script = [lambda: None, world.listen]
    world.client.run()
    assert world.lost() == ["first", "", "second"]
    assert serves == []


# --------------------------------------------------------------------------------------------------------------- stop


def run(client: NriClient) -> threading.Thread:
    thread = threading.Thread(target=client.run, daemon=True)
    thread.start()
    return thread


def test_stop_ends_it_while_it_is_connected(world: World) -> None:
    listener = world.listen()
    thread = run(world.client)
    connection, _ = listener.accept()
    with connection:
        runtime = Standin(connection)
        runtime.begin()
        runtime.ask("CreateContainer", create())
        world.client.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        assert runtime.receive() is None
    assert [type(message) for message in world.messages[:2]] == [RuntimeConnected, RuntimeListed]
    assert world.lost() == [], "an end that was asked for is no loss"
    assert world.waits.seconds == []
    page = world.metrics.page()[1].decode()
    assert 'oomward_nri_answers_total{mode="single"} 1.0' in page
    assert "oomward_nri_answer_duration_seconds_count 3.0" in page


def test_stop_ends_it_while_it_waits(world: World) -> None:
    world.client._again = threading.Event()
    thread = run(world.client)
    world.client.stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_stop_just_before_the_connection_is_made_ends_it_too(world: World, serves: list[Serve]) -> None:
    """Between the loop's condition and the connection nothing is there yet that could be shut down."""
    world.listen()
    world.client._path = StoppedOnTheWay(world)  # type: ignore[assignment]
    world.client.run()
    assert serves == [], "no session began: it would wait for a runtime, for as long as that lives"
    assert world.messages == []


class StoppedOnTheWay:
    def __init__(self, world: World) -> None:
        self._world = world

    def __str__(self) -> str:
        self._world.client.stop()
        return str(self._world.path)


# ----------------------------------------------------------------------------------------------------------- the rest


def test_requests_that_cannot_be_read_are_all_counted_and_logged_once(
    world: World, serves: list[Serve], caplog: pytest.LogCaptureFixture
) -> None:
    world.listen()

    def unreadable(plugin: Plugin) -> str:
        for _ in range(3):
            plugin.answer("CreateContainer", b"\xff")
        return "done"

    serves += [unreadable]
    with caplog.at_level(logging.WARNING, "oomward"):
        world.client.run()
    assert "oomward_nri_unreadable_requests_total 3.0" in world.metrics.page()[1].decode()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "can't be read" in line
    assert "CreateContainer" in line


def test_protobuf_is_imported_only_where_there_is_a_socket() -> None:
    """5 MiB resident."""
    code = (
        "import sys, agent.run\nfrom agent.runtime.client import NriClient\n"
        "sys.exit(any(name.startswith('google.protobuf') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
