"""Guards of the pages: certificate and key, a CA for client certificates, users with passwords; all in mounted files.

Read at the start, when a mistake is a SettingsError; checked again at each use, so rotated Secrets take effect. A change with
a mistake is refused: the previous content stays in force, and the log says why. File contents are never shown.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from agent.settings.loading import fingerprint
from agent.settings.problems import SettingsError
from agent.settings.table import Settings

T = TypeVar("T")
LARGEST_BYTES = 1 << 20  # a Secret's own limit
logger = logging.getLogger("oomward")


class PageGuards:
    """``wants_certificate``: /metrics needs a client certificate. Raises SettingsError with every problem. Thread-safe.

    TLS itself requests a client certificate but does not require it, since the kubelet's probes have none.
    """

    def __init__(self, settings: Settings) -> None:
        self.wants_certificate = settings.tls_client_ca is not None
        self._context: _Reread[ssl.SSLContext] | None = None
        self._users: _Reread[list[bytes]] | None = None
        problems: list[str] = []
        cert, key, ca, users = settings.tls_cert, settings.tls_key, settings.tls_client_ca, settings.basic_auth_file
        if cert is not None and key is not None:
            paths = [path for path in (cert, key, ca) if path is not None]
            read = partial(_tls_context, cert, key, ca)
            self._context = _Reread("certificates of the pages", paths, read, problems)
        if users is not None:
            self._users = _Reread("users of /metrics", [users], partial(_read_users, users), problems)
        if problems:
            raise SettingsError(problems)
        if users is not None and cert is None:
            logger.warning("basicAuthFile is set without tlsCert: passwords for /metrics are sent unencrypted")

    def context(self) -> ssl.SSLContext | None:
        """For the next connection; None: no TLS."""
        return None if self._context is None else self._context.now()

    def admits(self, authorization: str) -> bool:
        """Whether an Authorization header names a user (basic auth, RFC 7617, UTF-8); always True without basicAuthFile.

        Takes the same time for wrong and right passwords.
        """
        if self._users is None:
            return True
        scheme, _, text = authorization.strip().partition(" ")
        try:
            given = base64.b64decode(text.strip(), validate=True)
        except ValueError:
            given = b""
        digest = hashlib.sha256(given).digest()
        found = [hmac.compare_digest(digest, user) for user in self._users.now()]
        return scheme.lower() == "basic" and any(found)


class _Reread(Generic[T]):
    """A value from files, read again when one of them changes. ``read`` adds to a list of problems; with any, its value is not used."""

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[list[str]], T], problems: list[str]) -> None:
        self._what, self._paths, self._read = what, paths, read
        self._lock = threading.Lock()
        self._seen = [fingerprint(path) for path in paths]
        self._value = read(problems)

    def now(self) -> T:
        """The current value, or the previous one if the files are wrong or one is missing (in the middle of a swap)."""
        with self._lock:
            found = [fingerprint(path) for path in self._paths]
            if found == self._seen or None in found:
                return self._value
            self._seen = found  # before reading: a write meanwhile is another change
            problems: list[str] = []
            value = self._read(problems)
            if problems:
                why = SettingsError(problems)
                logger.error("the changed %s are refused, the previous ones stay in force: %s", self._what, why)
            else:
                self._value = value
                logger.info("the %s have changed and were read again", self._what)
            return self._value


def _tls_context(cert: Path, key: Path, client_ca: Path | None, problems: list[str]) -> ssl.SSLContext:
    """TLS 1.2 and newer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Python's own default, but some distributions (Debian 12) leave it to openssl.cnf.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _check_pem("tlsCert", cert, "CERTIFICATE", problems)
    _check_pem("tlsKey", key, "PRIVATE KEY", problems)
    if client_ca is not None:
        _check_pem("tlsClientCa", client_ca, "CERTIFICATE", problems)
    if problems:
        return context
    try:
        context.load_cert_chain(cert, key, password=lambda: "")  # else OpenSSL asks on the terminal
    except (OSError, ValueError) as error:
        problems.append(
            f"tlsCert {cert} and tlsKey {key} do not fit together ({_reason(error)}): the key must belong to the certificate "
            "and have no passphrase"
        )
    if client_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            problems.append(f"tlsClientCa {client_ca} is invalid ({_reason(error)}): give certificates in PEM")
    return context


def _reason(error: Exception) -> str:
    """OpenSSL's reason; its full text adds only its source file."""
    return (error.reason if isinstance(error, ssl.SSLError) else None) or type(error).__name__


def _check_pem(key: str, path: Path, label: str, problems: list[str]) -> None:
    """The file should have such a block; OpenSSL does not say which file it means."""
    raw = _read(key, path, problems)
    if raw is not None and not (b"-----BEGIN " in raw and f"{label}-----".encode() in raw):
        problems.append(f"{key} {path}: has no block 'BEGIN {label}'; give a file in PEM")


def _read_users(path: Path, problems: list[str]) -> list[bytes]:
    """A digest per ``user:password`` line, of equal length, so that comparing does not leak theirs."""
    raw = _read("basicAuthFile", path, problems)
    found: list[bytes] = []
    if raw is None:
        return found
    lines = enumerate(raw.removeprefix(b"\xef\xbb\xbf").splitlines(), 1)
    users = {number: line for number, line in lines if line.strip() and not line.startswith(b"#")}
    for number, line in users.items():
        user, _, password = line.partition(b":")
        if user and password:
            found.append(hashlib.sha256(line).digest())
        else:
            problems.append(
                f"basicAuthFile {path}:{number}: must be a line user:password; lines that start with # are ignored"
            )
    if not users:
        problems.append(f"basicAuthFile {path}: has no user; write a line user:password for each")
    return found


def _read(key: str, path: Path, problems: list[str]) -> bytes | None:
    """None: unreadable, or too large."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST_BYTES + 1)
    except OSError as error:
        problems.append(
            f"{key} {path}: cannot be read: {error.strerror}; mount the Secret there, readable for the agent"
        )
        return None
    if len(raw) > LARGEST_BYTES:
        problems.append(f"{key} {path}: is larger than {LARGEST_BYTES} bytes; is it the right file?")
        return None
    return raw
