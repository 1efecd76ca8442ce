"""Which replica leads: a Lease (coordination.k8s.io), as client-go's leader election has it. It saves work; no bound depends on it.

A replica with another clock than the API server's does not lead: the bounds are by time, and the journal forgets what is a day old.
Another replica's lease is over when its record has not changed for its duration by our own clock: clocks of nodes are not compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from agent.kube.api import Answer, Api, ApiError, ApiRefusedError, UnbelievableAnswerError
from agent.wording.times import rfc3339

NAME = "oomward-recover"
LASTS_S = 15.0
MARGIN_S = 5.0  # it counts as lost that long before it is over
MOST_BYTES = 1 << 18
ANSWER_S = 5.0
MOST_OFF_S = 60.0  # between our clock and the API server's
MOST_NUMBER = (1 << 31) - 1  # of a lease's numbers, which have 32 bits
Json = dict[str, Any]


class WrongClockError(ApiError):
    """Our clock and the API server's differ."""


class Lease:
    """``identity`` names this replica. ``monotonic_s`` and ``unix_s`` are clocks."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        identity: str,
        monotonic_s: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace = namespace
        self._identity = identity
        self._monotonic_s = monotonic_s
        self._unix_s = unix_s
        self._until_s = 0.0  # ours, by the monotonic clock
        self._holder = ""  # by the record that was seen last
        self._seen: tuple[str, float] = ("", 0.0)  # another's record, and since when it is the same

    @property
    def held(self) -> bool:
        """Whether we lead, and go on leading long enough for a request."""
        return self._monotonic_s() < self._until_s - MARGIN_S

    @property
    def leader(self) -> str:
        """The replica that leads, as far as is known; "" if none does."""
        return self._identity if self.held else "" if self._holder == self._identity else self._holder

    def renew(self) -> bool:
        """Take it or keep it, in at most two requests; whether we lead. Raises ApiError."""
        asked_s = self._monotonic_s()
        try:
            answer = self._api.request("GET", f"{self._path}/{NAME}", read_s=ANSWER_S)
            found = self._believed(answer)
        except ApiRefusedError as error:
            if error.status != 404:
                raise
            return self._write("POST", self._path, self._body(None), asked_s)
        self._check_clock(answer)
        self._holder = found["spec"].get("holderIdentity") or ""
        if not self._may_take(found):
            self._until_s = 0.0
            return False
        return self._write("PUT", f"{self._path}/{NAME}", self._body(found), asked_s)

    def release(self) -> None:
        """Let another replica take it at once, if we have it."""
        if self.held:
            try:
                found = self._believed(self._api.request("GET", f"{self._path}/{NAME}", read_s=ANSWER_S))
                if found["spec"].get("holderIdentity") == self._identity:
                    body = {**found, "spec": {**found["spec"], "holderIdentity": ""}}
                    self._api.request("PUT", f"{self._path}/{NAME}", body=body, read_s=ANSWER_S).finish()
            except ApiError:
                pass  # it ends by itself
        self._until_s = 0.0

    def _believed(self, answer: Answer) -> Json:
        """The lease. Raises UnbelievableAnswerError if it is none, and then we do not lead: something else answers as the API."""
        found: Json = answer.json(MOST_BYTES)
        if not _is_lease(found):
            self._until_s = 0.0
            raise UnbelievableAnswerError(
                f"{self._api.server}{self._path}/{NAME} is no Lease: does something between us answer for the API?"
            )
        return found

    def _check_clock(self, answer: Answer) -> None:
        """Raises WrongClockError, and then we do not lead."""
        date = answer.date_unix_s
        off_s = 0.0 if date is None else self._unix_s() - date
        if abs(off_s) > MOST_OFF_S:
            self._until_s = 0.0
            raise WrongClockError(f"this node's clock differs from the API server's by {off_s:.0f} s: it must not lead")

    def _may_take(self, found: Json) -> bool:
        spec = found["spec"]
        if spec.get("holderIdentity") in (None, "", self._identity):
            return True
        record, now_s = str(spec), self._monotonic_s()
        if record != self._seen[0]:
            self._seen = (record, now_s)
        return now_s - self._seen[1] > float(spec.get("leaseDurationSeconds") or LASTS_S)

    def _write(self, method: str, path: str, body: object, asked_s: float) -> bool:
        try:
            answer = self._api.request(method, path, body=body, read_s=ANSWER_S)
        except ApiRefusedError as error:
            if error.status != 409:
                raise
            self._until_s = 0.0
            return False
        if self._believed(answer)["spec"].get("holderIdentity") != self._identity:
            self._until_s = 0.0
            raise UnbelievableAnswerError(
                f"{self._api.server}{path} was not written, although the API answers that it was"
            )
        self._check_clock(answer)
        self._until_s = asked_s + LASTS_S
        return True

    def _body(self, found: Json | None) -> Json:
        """The record with us as its holder; with the version that was read as the precondition."""
        now = rfc3339(self._unix_s(), "microseconds")
        before = {} if found is None else found["spec"]
        ours = before.get("holderIdentity") == self._identity
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(LASTS_S),
            "acquireTime": before.get("acquireTime") if ours else now,
            "renewTime": now,
            "leaseTransitions": min(MOST_NUMBER, (before.get("leaseTransitions") or 0) + (0 if ours else 1)),
        }
        metadata: Json = {"name": NAME, "namespace": self._namespace}
        if found is not None:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def _is_lease(found: object) -> bool:
    """Whether it has what is used here, as the API has it: all of the spec is optional."""
    metadata, spec = (found.get(key) if isinstance(found, dict) else None for key in ("metadata", "spec"))
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        return False
    version = metadata.get("resourceVersion")
    texts = all(isinstance(spec.get(key), str | None) for key in ("holderIdentity", "acquireTime"))
    numbers = _is_number(spec.get("leaseDurationSeconds"), 1) and _is_number(spec.get("leaseTransitions"), 0)
    return isinstance(version, str) and version != "" and texts and numbers


def _is_number(value: object, least: int) -> bool:
    """None, too."""
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST_NUMBER)
