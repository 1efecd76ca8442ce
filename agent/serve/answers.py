"""From a command's question to its answer, in the socket's thread: from a copy of the loop's state, the cgroups' files and the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any

from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import Hierarchy
from agent.look import advice, containers, diagnoses, explain, kills
from agent.look.survey import Survey
from agent.look.which import Which, WrongSelectorError, uids_of
from agent.model import AgentError, StateAsked
from agent.pods.state import NodeState
from agent.serve import protocol
from agent.serve.protocol import RefusedError
from agent.settings import Settings
from agent.wording.logs import Once, left_out_text
from agent.wording.times import YEAR_10000_UNIX_S
from agent.wording.view import Shown

logger = logging.getLogger("oomward")

LOOP_WAIT_S = 5.0  # for the loop's turn
MOST_KILLS = 1000  # of ``history``: each may have many victims
LONGEST_TEXT = 1000  # of an argument
NOT_LISTED = "the agent has not reached the API yet, so pods are as it knew them last"


@dataclass(eq=False)
class Answers:
    """``ask`` puts a message into the loop's mailbox; ``files`` opens the cgroups' files, which are closed after each answer."""

    settings: Settings
    hierarchy: Hierarchy
    files: Callable[[], CgroupFiles]
    ask: Callable[[StateAsked], None]
    loop_wait_s: float = LOOP_WAIT_S

    def __post_init__(self) -> None:
        self._failures = Once(60.0)

    def answer(self, line: bytes) -> bytes:
        """One question's answer; whatever goes wrong is in it."""
        try:
            command, arguments, document = protocol.read_request(line)
            return protocol.answer_line(self._shown(command, arguments), document=document)
        except RefusedError as error:
            return protocol.refused_line(str(error))
        except AgentError as error:
            return protocol.failed_line(str(error), usage=isinstance(error, WrongSelectorError))
        except Exception as error:  # any command may fail in any way; the agent goes on
            if (left_out := self._failures.due(str(type(error)))) is not None:
                logger.exception("a command could not be answered%s", left_out_text(left_out))
            return protocol.refused_line("the agent failed at it; its log says why")

    def _shown(self, command: str, arguments: dict[str, Any]) -> Shown:
        taken = Arguments(arguments)
        node = taken.text("node")
        if node not in (None, self.settings.node_name):
            raise RefusedError(f"this agent's node is {self.settings.node_name}")
        if command == "history":
            return self._history(taken)
        which, pod = taken.which(), taken.text("pod")
        since_unix_s = taken.time_unix_s("since_unix_s") if command == "advise" else None
        taken.end()
        if command == "explain" and pod is None:
            raise RefusedError("explain needs a pod")
        with closing(self.files()) as files:
            found = self._survey(files)
            match command:
                case "ps":
                    return containers.containers(found, which)
                case "advise":
                    return advice.advise(found, since_unix_s, which)
                case "explain":
                    return explain.explain(found, pod or "", which.namespace)
                case _:
                    return diagnoses.diagnose(found, pod, which)

    def _history(self, taken: Arguments) -> Shown:
        limit, since_unix_s = taken.number("limit", 1), taken.time_unix_s("since_unix_s")
        which, pod = taken.which(), taken.text("pod")
        taken.end()
        uids = None
        if which.selector is not None:
            with closing(self.files()) as files:
                uids = uids_of(self._survey(files), which)
        try:
            return kills.history(
                self.settings.state_dir,
                which=which,
                pod=pod,
                since_unix_s=since_unix_s,
                limit=limit,
                most=MOST_KILLS,
                uids=uids,
            )
        except kills.TooManyError:
            raise RefusedError(f"the agent sends at most {MOST_KILLS} kills") from None

    def _survey(self, files: CgroupFiles) -> Survey:
        state = self._state()
        settings = replace(self.settings, rules=state.rules)
        found = Survey(settings, self.hierarchy, files, state.cgroups, state.registry)
        if not state.registry.listed:
            found.trouble(NOT_LISTED)
        return found

    def _state(self) -> NodeState:
        """Raises RefusedError if the loop has no turn in time."""
        given = SimpleQueue[NodeState]()
        self.ask(StateAsked(given.put))
        try:
            return given.get(timeout=self.loop_wait_s)
        except Empty:
            raise RefusedError(f"the agent's loop did not answer within {self.loop_wait_s:g} s") from None


class Arguments:
    """A question's arguments, each taken once. Raises RefusedError for one that is not as it should be."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._left = dict(given)

    def text(self, name: str) -> str | None:
        """None: not given."""
        value = self._left.pop(name, None)
        if value is not None and not (isinstance(value, str) and len(value) <= LONGEST_TEXT):
            raise RefusedError(f"{name} is not a text of at most {LONGEST_TEXT} characters")
        return value

    def which(self) -> Which:
        """Raises WrongSelectorError."""
        return Which.of(self.text("namespace"), self.text("selector"), self.text("sort_by"))

    def number(self, name: str, least: int) -> int:
        value = self._left.pop(name, None)
        if type(value) is not int or value < least:
            raise RefusedError(f"{name} is not a whole number of at least {least}")
        return value

    def time_unix_s(self, name: str) -> float | None:
        """None: not given."""
        value = self._left.pop(name, None)
        if value is None:
            return None
        if type(value) not in (int, float) or not 0 < value < YEAR_10000_UNIX_S:
            raise RefusedError(f"{name} is not a number of seconds before the year 10000")
        return float(value)

    def end(self) -> None:
        if self._left:
            raise RefusedError("the request has arguments that this agent does not know")
