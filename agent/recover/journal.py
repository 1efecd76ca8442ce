"""The journal: one ConfigMap with all attempts. Each write has the version that was read as its precondition.

Whoever else has written meanwhile: the write fails, the journal is read again, and what follows is planned again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from agent.kube.api import Api, ApiRefusedError, UnbelievableAnswerError
from agent.recover.history import HOUR_S, History, parse_history
from agent.wording.logs import Once

NAME = "oomward-recover"
KEY = "journal.json"
MOST_BYTES = 4 << 20
ANSWER_S = 10.0
logger = logging.getLogger("oomward")


class JournalError(Exception):
    """It can't be read, or somebody else has written: nothing may be done until it was read again."""


class Journal:
    """``namespace`` is the controller's own; ``may_write`` is asked before each write: whether this replica leads."""

    def __init__(self, api: Api, namespace: str, may_write: Callable[[], bool]) -> None:
        self._api = api
        self._may_write = may_write
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._namespace = namespace
        self._known = False
        self._version: str | None = None  # None: there is no journal yet; the first change makes it
        self._history = History()
        self._logged = Once(HOUR_S)

    def read(self) -> History:
        """All attempts; asks the API only if it has to. Raises ApiError, JournalError."""
        if not self._known:
            self._history, self._version = self._load()
            self._known = True
        return self._history

    def forget(self) -> None:
        """Read it again the next time."""
        self._known = False

    def change(self, change: Callable[[History], History]) -> History:
        """Write a change of what was read. Raises ApiError (whether it was written is not known), JournalError, FullError."""
        after = change(self.read())
        if not self._may_write():
            raise JournalError("another replica leads now")
        text, version = after.text, self._version
        body = self._body(text, version)
        self._known = False  # unless it succeeds
        method, path = ("POST", self._path) if version is None else ("PUT", f"{self._path}/{NAME}")
        try:
            answer = self._api.request(method, path, body=body, read_s=ANSWER_S)
        except ApiRefusedError as error:
            if error.status in (404, 409):
                raise JournalError("another replica wrote the journal") from error
            raise
        found = answer.json(MOST_BYTES)
        self._version = _version(found)
        if _text(found) != text:
            raise UnbelievableAnswerError("the API's answer about the journal is not what was written")
        self._history = after
        self._known = True
        return after

    def _load(self) -> tuple[History, str | None]:
        try:
            found = self._api.request("GET", f"{self._path}/{NAME}", read_s=ANSWER_S).json(MOST_BYTES)
        except ApiRefusedError as error:
            if error.status != 404:
                raise
            return History(), None
        version, text, troubles = _version(found), _text(found), list[str]()
        try:
            history = parse_history(text, troubles)
        except ValueError as error:
            raise JournalError(
                f"the journal (ConfigMap {self._namespace}/{NAME}) can't be read: {error}. Nothing is done until it is "
                "repaired, or removed, which forgets what was done."
            ) from error
        for trouble in troubles:
            if self._logged.due(trouble) is not None:
                logger.warning("the journal (ConfigMap %s/%s): %s", self._namespace, NAME, trouble)
        return history, version

    def _body(self, text: str, version: str | None) -> dict[str, object]:
        metadata: dict[str, object] = {} if version is None else {"resourceVersion": version}
        metadata |= {
            "name": NAME,
            "namespace": self._namespace,
            "labels": {"app.kubernetes.io/name": NAME},
        }
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: text}}


def _text(obj: Mapping[str, object]) -> str:
    """The journal, "" for none: an empty ConfigMap has no data."""
    data = obj["data"] if obj.get("data") is not None else {}
    text = data.get(KEY, "") if isinstance(data, dict) else None
    if not isinstance(text, str):
        raise UnbelievableAnswerError("the API's answer about the journal has data that no ConfigMap has")
    return text


def _version(obj: object) -> str:
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not version:
        raise UnbelievableAnswerError("the API's answer about the journal has no resourceVersion")
    return version
