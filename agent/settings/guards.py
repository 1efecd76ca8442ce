"""What guards the pages: certificate and key, a CA for client certificates, users with passwords; all in mounted files.

Read at the start, when a mistake is a SettingsError; checked again at each use, so rotated Secrets take effect. A change with
a mistake is refused: the previous content stays in force, and the log says why. File contents are never shown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from agent.settings.problems import SettingsError
from agent.settings.reload import fingerprint
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
        self._users: _Reread[tuple[bytes, ...]] | None = None
        problems: list[str] = []
        cert, key, ca, users = settings.tls_cert, settings.tls_key, settings.tls_client_ca, settings.basic_auth_file
        try:
            if cert is not None and key is not None:
                paths = [path for path in (cert, key, ca) if path is not None]
                self._context = _Reread("certificates of the pages", paths, lambda: _tls_context(cert, key, ca))
        except SettingsError as error:
            problems += error.problems
        try:
            if users is not None:
                self._users = _Reread("users of /metrics", [users], lambda: _read_users(users))
        except SettingsError as error:
            problems += error.problems
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
        except (ValueError, binascii.Error):
            given = b""
        digest = hashlib.sha256(given).digest()
        found = [hmac.compare_digest(digest, user) for user in self._users.now()]
        return scheme.lower() == "basic" and any(found)


class _Reread(Generic[T]):
    """A value from files, read again when one of them changes. ``read`` raises SettingsError."""

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._what, self._paths, self._read = what, paths, read
        self._lock = threading.Lock()
        self._seen = [fingerprint(path) for path in paths]
        self._value = read()

    def now(self) -> T:
        """The current value, or the previous one if the files are wrong or one is missing (in the middle of a swap)."""
        with self._lock:
            found = [fingerprint(path) for path in self._paths]
            if found != self._seen and None not in found:
                self._seen = found  # before reading: a write meanwhile is another change
                try:
                    self._value = self._read()
                    logger.info("the %s have changed and were read again", self._what)
                except SettingsError as error:
                    logger.error("the changed %s are refused, the previous ones stay in force: %s", self._what, error)
            return self._value


def _tls_context(cert: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """TLS 1.2 and newer."""
    problems = [*_not_pem("tlsCert", cert, "CERTIFICATE"), *_not_pem("tlsKey", key, "PRIVATE KEY")]
    if client_ca is not None:
        problems += _not_pem("tlsClientCa", client_ca, "CERTIFICATE")
    if problems:
        raise SettingsError(problems)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Python's own default, but some distributions (Debian 12) leave it to openssl.cnf.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
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
    if problems:
        raise SettingsError(problems)
    return context


def _reason(error: Exception) -> str:
    """OpenSSL's reason; its full text adds only its source file."""
    return (error.reason if isinstance(error, ssl.SSLError) else None) or type(error).__name__


def _not_pem(key: str, path: Path, label: str) -> list[str]:
    """Problems of a file that should have such a block; OpenSSL does not say which file it means."""
    raw, problems = _read(key, path)
    if not problems and not (b"-----BEGIN " in raw and f"{label}-----".encode() in raw):
        problems = [f"{key} {path}: has no block 'BEGIN {label}'; give a file in PEM"]
    return problems


def _read_users(path: Path) -> tuple[bytes, ...]:
    """A digest per ``user:password`` line, of equal length, so that comparing does not leak theirs."""
    raw, problems = _read("basicAuthFile", path)
    found = []
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        user, colon, password = line.partition(b":")
        if user and colon and password:
            found.append(hashlib.sha256(line).digest())
        else:
            problems.append(
                f"basicAuthFile {path}:{number}: must be a line user:password; lines that start with # are ignored"
            )
    if not problems and not found:
        problems.append(f"basicAuthFile {path}: has no user; write a line user:password for each")
    if problems:
        raise SettingsError(problems)
    return tuple(found)


def _read(key: str, path: Path) -> tuple[bytes, list[str]]:
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST_BYTES + 1)
    except OSError as error:
        return b"", [f"{key} {path}: cannot be read: {error.strerror}; mount the Secret there, readable for the agent"]
    if len(raw) > LARGEST_BYTES:
        return b"", [f"{key} {path}: is larger than {LARGEST_BYTES} bytes; is it the right file?"]
    return raw, []
