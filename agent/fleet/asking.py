"""The same question to many agents at once. Each has its own time; one that does not answer costs the others nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from agent.fleet import FleetError
from agent.fleet.answers import Answer, failed
from agent.fleet.cluster import CONTAINER, Agent
from agent.fleet.executing import Finished, execute
from agent.fleet.stream import TookTooLongError

MOST_AT_ONCE = 50
PROGRAM = "oomward"
GRACE_S = 2.0

Reader = Callable[[str, Finished], Answer]  # from a node's name and what its command has written


def ask(
    socket_path: str, agents: Sequence[Agent], words: Sequence[str], read: Reader, timeout_s: float
) -> list[Answer]:
    """One answer per agent, in no order; whatever goes wrong is in it."""

    def of(agent: Agent) -> Answer:
        until_s = time.monotonic() + timeout_s
        try:
            done = execute(socket_path, agent.namespace, agent.pod, CONTAINER, [PROGRAM, *words], until_s)
            return read(agent.node, done)
        except (TookTooLongError, TimeoutError):
            return failed(agent.node, f"timed out after {timeout_s:g} s")
        except FleetError as error:
            return failed(agent.node, str(error))
        except OSError as error:
            return failed(agent.node, error.strerror or str(error))

    waiting, answers = SimpleQueue[Agent](), SimpleQueue[Answer]()
    for agent in agents:
        waiting.put(agent)

    def work() -> None:
        while True:
            try:
                agent = waiting.get_nowait()
            except Empty:
                return
            answers.put(of(agent))

    for _ in range(min(MOST_AT_ONCE, len(agents))):
        threading.Thread(target=work, name="asking", daemon=True).start()
    return _collected(agents, answers, timeout_s)


def _collected(agents: Sequence[Agent], answers: SimpleQueue[Answer], timeout_s: float) -> list[Answer]:
    """However a thread ends, this ends in time."""
    turns = -(-len(agents) // MOST_AT_ONCE)
    until_s = time.monotonic() + turns * (timeout_s + GRACE_S)
    found: dict[str, Answer] = {}
    while len(found) < len(agents):
        try:
            answer = answers.get(timeout=max(0.0, until_s - time.monotonic()))
        except Empty:
            break
        found[answer.node] = answer
    return [found.get(agent.node) or failed(agent.node, f"timed out after {timeout_s:g} s") for agent in agents]
