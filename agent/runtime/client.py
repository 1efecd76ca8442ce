"""The thread that keeps a connection to the runtime's NRI socket, if there is one; with back-off where it fails."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.kube.backoff import Backoff
from agent.metrics.metrics import Metrics
from agent.model import RuntimeContainer, RuntimeLost, RuntimeMessage, Sandbox
from agent.wording.logs import Once, log

logger = logging.getLogger("oomward")

RESTARTING_S = 120.0  # after an end the socket may be missing that long until the runtime is back
STEADY_S = 60.0  # a connection that lasts that long is good; for each one the runtime lists all it has, and creates nothing meanwhile
ABSENT = ""
UNREADABLE_EVERY_S = 600.0


class NriClient:
    """``run`` is the thread's; ``look`` and ``stop`` are for others. ``put`` takes messages for the loop; the first is never late."""

    def __init__(
        self,
        path: Path,
        index: str,
        desired: Callable[[Sandbox, RuntimeContainer, bool], int | None],
        put: Callable[[RuntimeMessage], None],
        metrics: Metrics,
        backoff: Backoff,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._index = index
        self._desired = desired
        self._put = put
        self._metrics = metrics
        self._backoff = backoff
        self._clock = clock
        self._again = threading.Event()
        self._stopping = False
        self._connection: socket.socket | None = None
        self._last: str | None = None
        self._unreadable = Once(UNREADABLE_EVERY_S)

    def run(self) -> None:
        """Until ``stop``. What the runtime does wrong ends the connection only."""
        served_at_s = -RESTARTING_S
        while not self._stopping:
            began_s = self._clock()
            why, served = self._connect()
            if served:
                served_at_s = self._clock()
                if served_at_s - began_s >= STEADY_S:
                    self._backoff.reset()
            if self._stopping:
                break
            if why != self._last or served:
                self._last = why
                self._put(RuntimeLost(why))
            absent = why == ABSENT and self._clock() - served_at_s > RESTARTING_S
            self._again.wait(None if absent else self._backoff.next_s())
            self._again.clear()

    def look(self) -> None:
        """Connect if the socket is there now: nobody polls for it while it is missing."""
        if self._connection is None and self._last == ABSENT and os.path.exists(self._path):  # Path.exists raises
            self._again.set()

    def stop(self) -> None:
        """End the thread; safe while it waits for the runtime."""
        self._stopping = True
        self._again.set()
        if (connection := self._connection) is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> tuple[str, bool]:
        """Why there is no connection (any more), ABSENT for no socket; and whether there was one that served."""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.settimeout(5.0)
                connection.connect(str(self._path))
            except FileNotFoundError:
                return ABSENT, False
            except OSError as error:
                return f"no connection to {self._path}: {error.strerror or error}", False
            self._connection = connection
            try:
                return (
                    (ABSENT, False) if self._stopping else self._serve(connection)
                )  # stop() found nothing to shut down
            finally:
                self._connection = None

    def _serve(self, connection: socket.socket) -> tuple[str, bool]:
        # Some 5 MiB resident that a node without the socket does not need.
        from agent.runtime.frames import BrokenStreamError  # noqa: PLC0415
        from agent.runtime.plugin import Plugin  # noqa: PLC0415
        from agent.runtime.session import RefusedError, serve  # noqa: PLC0415

        plugin = Plugin(self._desired, self._put, self._metrics.nri_answered, self._cannot_read)
        try:
            why = serve(connection, self._index, plugin, self._metrics.nri_answer_duration_seconds.observe)
        except RefusedError as error:
            why = f"the runtime refuses the plugin: {error}"
        except BrokenStreamError as error:
            why = f"the runtime sent {error}"
        except OSError as error:
            why = f"the connection failed: {error.strerror or error}"
        return why, plugin.synchronized

    def _cannot_read(self, what: str) -> None:
        self._metrics.nri_unreadable_requests.inc()
        if self._unreadable.due("request") is not None:
            log(
                logger,
                logging.WARNING,
                f"a request of the runtime's NRI can't be read, and is answered without a change: {what}",
            )
