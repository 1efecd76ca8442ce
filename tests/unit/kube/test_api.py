"""Requests have time-outs, answers are not believed blindly, and every failure is one of the room's own errors."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3.connection
from urllib3.util.ssl_ import create_urllib3_context

from agent.kube import credentials
from agent.kube.api import (
    MOST_RETRY_AFTER_S,
    Answer,
    Api,
    ApiCertificateError,
    ApiRefusedError,
    ApiUnreachableError,
    NoApiError,
    connect,
)
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.kube.world import pod_json

TLS = Path(__file__).parent / "tls"
PODS = "/api/v1/pods"


def ask(api: Api, most_bytes: int = 1 << 20, *, how: How | None = None) -> Any:
    """The list of pods. ``how`` the server answers: only for its silence there is little patience."""
    return api.request("GET", PODS, read_s=0.2 if how is How.SILENT else 60.0).json(most_bytes)


def test_who_asks_is_said_by_the_user_agent(api: Api, server: ApiServer) -> None:
    ask(api)
    assert server.requests[0].user_agent == "oomward/test (node node-1)"


def test_a_refusal_carries_the_servers_own_words(api: Api, server: ApiServer) -> None:
    server.faults.add(Fault(How.STATUS, status=403, reason="Forbidden", message="pods is forbidden"))
    with pytest.raises(ApiRefusedError, match="the API answered 403 Forbidden: pods is forbidden") as refused:
        ask(api)
    assert (refused.value.status, refused.value.retry_after_s) == (403, None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("999999", MOST_RETRY_AFTER_S),
        ("9" * 400, MOST_RETRY_AFTER_S),
        ("\u00b2", None),
        ("-5", None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_with_a_bound_or_nothing(
    header: str, seconds: float | None, api: Api, server: ApiServer
) -> None:
    server.faults.add(Fault(How.STATUS, status=429, reason="TooManyRequests", retry_after_s=header))
    with pytest.raises(ApiRefusedError) as refused:
        ask(api)
    assert refused.value.retry_after_s == seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:01:00 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:01:00 +0001", 0.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", None),
        ("Mon, 99999999999999999999 Jan 2024 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 99999999999999999999:00:00 GMT", None),
        ("Mon, 01 Jan " + "9" * 5000 + " 00:00:00 GMT", None),
        ("soon", None),
        ("", None),
    ],
)
def test_the_servers_clock_is_a_date_or_not_known(header: str, seconds: float | None) -> None:
    assert Answer(urllib3.HTTPResponse(headers={"Date": header})).date_unix_s == seconds


@pytest.mark.parametrize("how", [How.CLOSE, How.SILENT, How.CUT_BODY], ids=lambda how: how.name)
def test_no_answer_or_half_of_one_is_unreachable_and_soon(how: How, api: Api, server: ApiServer) -> None:
    server.faults.add(Fault(how))
    with pytest.raises(ApiUnreachableError):
        ask(api, how=how)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"<html></html>", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"1" * 5000],
    ids=["empty", "cut", "html", "deep-list", "deep-object", "no-utf-8", "endless-number"],
)
def test_an_answer_that_is_no_json_is_not_believed(body: bytes, api: Api, server: ApiServer) -> None:
    server.faults.add(Fault(How.BODY, body=body))
    with pytest.raises(ApiUnreachableError, match="no JSON"):
        ask(api)


def test_an_answer_that_is_too_long_is_not_read_to_its_end(api: Api, server: ApiServer) -> None:
    server.faults.add(Fault(How.BODY, body=b'"' + b"x" * 5000 + b'"'))
    with pytest.raises(ApiUnreachableError, match="longer than 1000 bytes"):
        ask(api, 1000)


def test_after_any_bad_answer_the_next_request_works(api: Api, server: ApiServer) -> None:
    for how in (How.CLOSE, How.CUT_BODY, How.SILENT, How.TRUNCATE):
        server.faults.add(Fault(how))
        with pytest.raises(ApiUnreachableError):
            ask(api, how=how)
        assert ask(api)["kind"] == "PodList"


def test_answers_that_were_read_leave_the_connection_for_the_next(api: Api, server: ApiServer) -> None:
    for _ in range(3):
        ask(api)
    server.faults.add(Fault(How.STATUS, status=500))
    with pytest.raises(ApiRefusedError):
        ask(api)
    ask(api)
    assert len({request.client_port for request in server.requests}) == 1


def test_a_server_that_went_away_and_came_back_is_found_again(api: Api, server: ApiServer) -> None:
    server.put_pod(pod_json())
    ask(api)
    server.close()
    with pytest.raises(ApiUnreachableError, match=r"no answer from the API at http://127\.0\.0\.1"):
        ask(api)
    server.start()
    assert len(ask(api)["items"]) == 1


# ---------------------------------------------------------------------------------------------------------- credentials


def test_a_wrong_token_is_a_401(api: Api, server: ApiServer) -> None:
    server.token = "another"
    with pytest.raises(ApiRefusedError) as refused:
        ask(api)
    assert refused.value.status == 401


def test_a_token_file_that_ends_with_a_line_break_works(server: ApiServer, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    server.write_kubeconfig(tmp_path / "kubeconfig", token_file)
    token_file.write_text("lab-token\n")
    assert ask(connect(tmp_path / "kubeconfig", user_agent="x"))["kind"] == "PodList"


@pytest.mark.parametrize("token", ["se\ncret", "sécret", "se\x00cret"])
def test_a_token_that_cannot_be_one_is_said_without_being_shown(server: ApiServer, tmp_path: Path, token: str) -> None:
    token_file = tmp_path / "token"
    server.write_kubeconfig(tmp_path / "kubeconfig", token_file)
    token_file.write_text(token)
    with pytest.raises(ApiUnreachableError, match="token has characters that no token has") as error:
        ask(connect(tmp_path / "kubeconfig", user_agent="x"))
    assert "cret" not in str(error.value)
    assert server.requests == []


@pytest.mark.parametrize(
    "text", ["", "[]", "x: [", "apiVersion: v1", "\x00", "clusters: 5\ncurrent-context: lab\n", "{}\n---\n{}"]
)
def test_a_kubeconfig_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_text(text)
    with pytest.raises(NoApiError, match=r"by kubeconfig .*broken"):
        connect(path, user_agent="x")


CLUSTER = """apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://127.0.0.1:1", ODD}}]
users: [{name: u, user: {token: abc}}]
"""


@pytest.mark.parametrize(
    "odd",
    [
        "certificate-authority: !!bool maybe",
        'certificate-authority: !!int ""',
        "certificate-authority: !!timestamp x",
        "proxy-url: 2020-01-01",
        "proxy-url: 5",
        "proxy-url: [a]",
        "proxy-url: !!binary AA==",
        "tls-server-name: !!set {a}",
        "tls-server-name: 2020-01-01",
    ],
)
def test_a_value_of_a_kubeconfig_that_does_not_fit_is_no_way_to_the_api(odd: str, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_text(CLUSTER.replace("ODD", odd))
    with pytest.raises(NoApiError, match=r"by kubeconfig .*odd"):
        connect(path, user_agent="x")


def test_a_plugin_that_gives_no_token_any_more_is_a_reason_to_try_again(tmp_path: Path) -> None:
    plugin, gone = tmp_path / "plugin", tmp_path / "gone"
    old = '{"credential": {"access_token": "t", "token_expiry": "2020-01-01T00:00:00Z"}}'
    plugin.write_text(f"#!/bin/sh\ntest -e {gone} && echo '{{}}' || echo '{old}'\n")
    plugin.chmod(0o755)
    provider = {"name": "gcp", "config": {"cmd-path": str(plugin), "cmd-args": "token"}}
    path = tmp_path / "kubeconfig"
    path.write_text(CLUSTER.replace(", ODD", "").replace("token: abc", f"auth-provider: {json.dumps(provider)}"))
    api = connect(path, user_agent="x")
    gone.touch()
    with pytest.raises(ApiUnreachableError, match=r"no credentials for https:.* a value is none"):
        ask(api)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoApiError, match="missing"):
        connect(tmp_path / "missing", user_agent="x")


def test_outside_of_a_pod_and_without_a_kubeconfig_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(NoApiError, match="--kubeconfig"):
        connect(None, user_agent="x")


# ------------------------------------------------------------------------------------------------------------------ TLS


@pytest.fixture
def tls_server() -> Iterator[ApiServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
    server = ApiServer(tls=context)
    server.start()
    yield server
    server.close()


@pytest.fixture
def strict_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Default contexts, Python's and the client library's, check certificates by RFC 5280 to the letter, as from Python 3.13 on."""

    def strict(usual: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
        def made(*args: Any, **more: Any) -> ssl.SSLContext:
            context = usual(*args, **more)
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            return context

        return made

    monkeypatch.setattr(ssl, "create_default_context", strict(ssl.create_default_context))
    monkeypatch.setattr(urllib3.connection, "create_urllib3_context", strict(create_urllib3_context))


@pytest.fixture
def service_account(tls_server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kubelet mounts into a pod, and the variables that it sets."""
    (tmp_path / "token").write_text("lab-token\n")
    (tmp_path / "ca.crt").write_bytes((TLS / "ca.pem").read_bytes())
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setitem(os.environ, "KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setitem(os.environ, "KUBERNETES_SERVICE_PORT", tls_server.url.rpartition(":")[2])
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_pods_service_account_is_used_and_its_token_is_read_again_when_it_is_rotated(
    tls_server: ApiServer, service_account: Path
) -> None:
    api = connect(None, user_agent="x", lax_ca=True)
    assert ask(api)["kind"] == "PodList"
    tls_server.token = "rotated"
    with pytest.raises(ApiRefusedError):
        ask(api)
    (service_account / "token").write_text("rotated\n")
    assert ask(api)["kind"] == "PodList"


@pytest.mark.parametrize(
    ("file", "text"), [("token", None), ("token", " \n"), ("token", "\xff"), ("ca.crt", None), ("ca.crt", "")]
)
def test_a_service_account_that_lacks_a_file_is_no_way_to_the_api(
    service_account: Path, file: str, text: str | None
) -> None:
    path = service_account / file
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(NoApiError, match=f"{file}.*--kubeconfig"):
        connect(None, user_agent="x")


def test_a_token_that_vanishes_later_is_a_reason_to_try_again(service_account: Path) -> None:
    api = connect(None, user_agent="x", lax_ca=True)
    (service_account / "token").unlink()
    with pytest.raises(ApiUnreachableError, match=r"no credentials for https://127\.0\.0\.1.*token"):
        ask(api)


def test_a_service_accounts_ca_decides_whose_certificate_is_believed(
    service_account: Path, tls_server: ApiServer
) -> None:
    (service_account / "ca.crt").write_bytes((TLS / "other-ca.pem").read_bytes())
    for lax_ca in (False, True):
        with pytest.raises(ApiUnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(connect(None, user_agent="x", lax_ca=lax_ca))
    assert tls_server.requests == []


def test_an_address_of_ip_version_6_is_put_into_brackets(
    service_account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setitem(os.environ, "KUBERNETES_SERVICE_PORT", "443")
    assert connect(None, user_agent="x").server == "https://[fd00::1]:443"


@pytest.mark.parametrize(
    ("excluded", "proxied"),
    [
        ("", True),
        ("*", False),
        ("127.0.0.1", False),
        ("127.0.0.0/8", False),
        (".svc, 10.0.0.0/8 ,127.0.0.1/32", False),
        ("10.0.0.0/8,.svc", True),
        (",,", True),
        (".", True),
        ("27.0.0.1", True),
    ],
)
def test_in_a_pod_the_api_is_asked_by_the_proxy_unless_it_is_excluded(
    excluded: str, proxied: bool, service_account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens at the proxy's address: what goes there fails."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", excluded)
    api = connect(None, user_agent="x", lax_ca=True)
    if not proxied:
        assert ask(api)["kind"] == "PodList"
        return
    with pytest.raises(ApiUnreachableError, match="proxy"):
        ask(api)


@pytest.mark.parametrize(
    ("server", "excluded", "proxied"),
    [
        ("https://api.corp.example:6443", "corp.example", False),
        ("https://api.corp.example:6443", ".corp.example:6443", False),
        ("https://api.corp.example:6443", "Other.example,API.corp.example", False),
        ("https://api.corp.example:6443", "orp.example", True),
        ("https://[fd00::1]:443", "fd00::/8", False),
    ],
)
def test_what_is_excluded_from_the_proxy_may_be_a_name_a_domain_or_a_network(
    server: str, excluded: str, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", excluded)
    assert (credentials._proxy(server) is not None) == proxied


def test_a_server_whose_certificate_is_not_the_cas_is_refused_and_the_setting_is_named(
    tls_server: ApiServer, tmp_path: Path
) -> None:
    tls_server.write_kubeconfig(tmp_path / "kubeconfig", ca_file=TLS / "other-ca.pem")
    with pytest.raises(ApiCertificateError, match="--api-lax-ca"):
        ask(connect(tmp_path / "kubeconfig", user_agent="x"))


def test_a_ca_that_python_finds_too_lax_is_accepted_on_request(
    tls_server: ApiServer, tmp_path: Path, strict_python: None
) -> None:
    context = ssl.create_default_context(cafile=TLS / "ca.pem")
    with (
        socket.create_connection(("127.0.0.1", int(tls_server.url.rpartition(":")[2]))) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")
    tls_server.write_kubeconfig(tmp_path / "kubeconfig", ca_file=TLS / "ca.pem")
    assert ask(connect(tmp_path / "kubeconfig", user_agent="x", lax_ca=True))["kind"] == "PodList"


def test_tls_older_than_1_2_is_not_spoken_where_python_leaves_that_to_openssl(
    tls_server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Debian 12's own Python does."""
    made: list[ssl.SSLContext] = []
    real = ssl.create_default_context

    def as_debian(**options: Any) -> ssl.SSLContext:
        context = real(**options)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        made.append(context)
        return context

    monkeypatch.setattr(ssl, "create_default_context", as_debian)
    tls_server.write_kubeconfig(tmp_path / "kubeconfig", ca_file=TLS / "ca.pem")
    assert ask(connect(tmp_path / "kubeconfig", user_agent="x", lax_ca=True))["kind"] == "PodList"
    assert {context.minimum_version for context in made} == {ssl.TLSVersion.TLSv1_2}


def test_a_ca_that_python_finds_too_lax_is_refused_with_the_setting_that_helps(
    tls_server: ApiServer, tmp_path: Path, strict_python: None
) -> None:
    tls_server.write_kubeconfig(tmp_path / "kubeconfig", ca_file=TLS / "ca.pem")
    with pytest.raises(
        ApiUnreachableError, match=r"apiLaxCa: true \(OOMWARD_API_LAX_CA=true, --api-lax-ca true\)"
    ) as error:
        ask(connect(tmp_path / "kubeconfig", user_agent="x"))
    assert "lacks a key identifier or keyUsage" in str(error.value)
    assert tls_server.requests == []


def test_the_same_ca_is_good_enough_for_an_older_python(
    tls_server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(*args: Any, **more: Any) -> ssl.SSLContext:
        context = create_urllib3_context(*args, **more)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(urllib3.connection, "create_urllib3_context", older)
    tls_server.write_kubeconfig(tmp_path / "kubeconfig", ca_file=TLS / "ca.pem")
    assert ask(connect(tmp_path / "kubeconfig", user_agent="x"))["kind"] == "PodList"


def test_lax_still_means_that_the_chain_is_checked(tls_server: ApiServer, tmp_path: Path) -> None:
    tls_server.write_kubeconfig(tmp_path / "kubeconfig", ca_file=TLS / "other-ca.pem")
    with pytest.raises(ApiUnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(connect(tmp_path / "kubeconfig", user_agent="x", lax_ca=True))
