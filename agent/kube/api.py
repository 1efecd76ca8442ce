"""The only API client: plain requests with time-outs. Raises AgentErrors only; answers are bounded in size."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from agent.kube.credentials import Endpoint, NoCredentialsError, by_kubeconfig, in_cluster
from agent.model import AgentError

CONNECT_S = 5.0
ANSWER_S = 30.0
CHUNK_BYTES = 1 << 16
MOST_ERROR_BYTES = 16_384
MOST_RETRY_AFTER_S = 120.0  # a server may ask for hours; a silent thread looks stuck


class ApiError(AgentError):
    """Something about the API: what, where and what to do."""


class NoApiError(ApiError):
    """There is no address of the API, or there are no credentials."""


class ApiUnreachableError(ApiError):
    """No answer: refused, timed out, cut off, or TLS failed."""


class ApiCertificateError(ApiUnreachableError):
    """The server's certificate is not accepted, or it speaks no TLS."""


class ApiSilentError(ApiUnreachableError):
    """Nothing more of an answer came within the time-out."""


class AnswerTooLongError(ApiUnreachableError):
    """The answer is longer than what was asked for can be, or than the caller takes."""


class UnbelievableAnswerError(ApiError):
    """The API's answer lacks something that it must have, or is too long: perhaps something else answered."""


class ApiRefusedError(ApiError):
    """The API answered with an error status. ``retry_after_s`` None: it gave no seconds.

    ``explained``: with a Status, as Kubernetes does; a proxy or another server doesn't.
    """

    def __init__(
        self, status: int, reason: str, message: str, retry_after_s: float | None, *, explained: bool = True
    ) -> None:
        super().__init__(f"the API answered {status} {reason}: {message}")
        self.status, self.reason, self.message, self.retry_after_s = status, reason, message, retry_after_s
        self.explained = explained

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later, as after no other 4xx."""
        return self.status in (401, 403, 408, 429) or self.status >= 500


@dataclass(frozen=True, slots=True)
class Answer:
    """A streaming answer; close it."""

    raw: urllib3.BaseHTTPResponse

    @property
    def date_unix_s(self) -> float | None:
        """The server's clock, in whole seconds; None: it gave no time (RFC 9110, Date)."""
        try:
            return parsedate_to_datetime(self.raw.headers.get("Date", "")).timestamp()
        except (ValueError, OverflowError):
            return None

    def close(self) -> None:
        """Close the connection: a watch is never read to its end."""
        self.raw.close()
        self.raw.release_conn()

    def finish(self) -> None:
        """Drop a short rest, so that the connection serves the next request."""
        with contextlib.suppress(ApiUnreachableError):
            self._body(MOST_ERROR_BYTES)

    def parts(self) -> Iterator[bytes]:
        """The body as it arrives. Raises ApiSilentError, ApiUnreachableError."""
        try:
            yield from self.raw.stream(amt=CHUNK_BYTES, decode_content=True)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise ApiSilentError(f"the API's answer stopped: {error}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiUnreachableError(f"the API's answer broke off: {error}") from error

    def json(self, most_bytes: int) -> Any:
        """The whole body. Raises ApiUnreachableError when it is cut short, too long or no JSON."""
        try:
            return decoded(self._body(most_bytes))
        except ValueError as error:
            raise no_json(error) from error

    def _body(self, most_bytes: int) -> bytes:
        """All of it; the connection is kept for the next request if nothing failed."""
        try:
            body: bytes = self.raw.read(most_bytes + 1)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self.close()
            raise ApiUnreachableError(f"the API's answer broke off: {error}") from error
        if len(body) > most_bytes:
            self.close()
            raise AnswerTooLongError(f"the API's answer is longer than {most_bytes} bytes: not believed")
        self.raw.release_conn()
        return body


def no_json(why: ValueError) -> ApiUnreachableError:
    return ApiUnreachableError(f"the API's answer is no JSON ({why}): cut short, or something else answered")


def decoded(text: bytes) -> Any:
    """JSON. Raises ValueError, also for too deep nesting."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class Api:
    """Requests to one API server. Thread-safe, as urllib3's pool is. ``server`` is its address, for messages."""

    def __init__(self, endpoint: Endpoint, user_agent: str) -> None:
        self._endpoint = endpoint
        self._user_agent = user_agent
        self.server = endpoint.server

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        *,
        read_s: float = ANSWER_S,
        content_type: str = "application/json",
    ) -> Answer:
        """Send one request, without retries. Raises ApiUnreachableError, ApiRefusedError (all but 2xx)."""
        url = self.server.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        headers = {"User-Agent": self._user_agent, "Accept": "application/json", **self._authorization()}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body).encode()
        try:
            raw = self._endpoint.pool.request(
                method,
                url,
                headers=headers,
                body=data,
                preload_content=False,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=CONNECT_S, read=read_s),
            )
        except urllib3.exceptions.SSLError as error:
            raise ApiCertificateError(self._explain(error)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiUnreachableError(self._explain(error)) from error
        if not 200 <= raw.status < 300:
            raise _refused(Answer(raw))
        return Answer(raw)

    def _authorization(self) -> dict[str, str]:
        try:
            value = self._endpoint.authorization()
        except NoCredentialsError as error:
            raise ApiUnreachableError(f"no credentials for {self.server}: {error}") from error
        if not (value.isascii() and value.isprintable()):
            raise ApiUnreachableError(
                f"no credentials for {self.server}: the bearer token has characters that no token has; check its file"
            )
        return {"Authorization": value} if value else {}

    def _explain(self, error: Exception) -> str:
        text = f"no answer from the API at {self.server}: {error}"
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            text += (
                ". If the cluster's CA lacks a key identifier or keyUsage, Python 3.13's strict checks refuse it: "
                "set apiLaxCa: true (OOMWARD_API_LAX_CA=true, --api-lax-ca true), or fix the CA"
            )
        return text


def connect(kubeconfig: Path | None, *, user_agent: str, lax_ca: bool = False) -> Api:
    """By a kubeconfig, or by the pod's service account when None. Raises NoApiError; sends nothing yet."""
    try:
        endpoint = by_kubeconfig(kubeconfig, lax_ca=lax_ca) if kubeconfig is not None else in_cluster(lax_ca=lax_ca)
    except (NoCredentialsError, OSError, ValueError) as error:
        where = f"kubeconfig {kubeconfig}" if kubeconfig is not None else "the pod's service account"
        raise NoApiError(
            f"no API by {where}: {str(error).rstrip('.')}. Outside a cluster name a file with --kubeconfig; in a pod mount the "
            "service account's token (automountServiceAccountToken)."
        ) from error
    return Api(endpoint, user_agent)


def _refused(answer: Answer) -> ApiRefusedError:
    raw = answer.raw
    reason, message, explained = raw.reason or "", "", False
    try:
        status = answer.json(MOST_ERROR_BYTES)
        if isinstance(status, dict):
            explained = status.get("kind") == "Status"
            reason, message = str(status.get("reason") or reason), str(status.get("message") or "")
    except ApiUnreachableError:
        message = "no explanation"
    seconds = raw.headers.get("Retry-After", "")  # or a date, by RFC 9110; the API sends none
    known = seconds.isascii() and seconds.isdigit()
    retry_after_s = min(MOST_RETRY_AFTER_S, float(seconds)) if known else None
    return ApiRefusedError(raw.status, reason, message, retry_after_s, explained=explained)
