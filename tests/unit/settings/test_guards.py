"""The files that guard the pages: what is wrong is named at the start without being shown, and rotated Secrets are noticed."""

from __future__ import annotations

import base64
import logging
import os
import ssl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.settings import PageGuards, Settings, SettingsError, load

TLS = Path(__file__).parents[1] / "metrics" / "tls"
SERVER = {"tls_cert": str(TLS / "server.crt"), "tls_key": str(TLS / "server.key")}


def settings(**flags: str) -> Settings:
    return load(flags, {"NODE_NAME": "node-1"})


def problems(**flags: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        PageGuards(settings(**flags))
    return caught.value.problems


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text("# for Prometheus\nprometheus:s3cret:with:colons\n\nzoë:pässword\r\n", encoding="utf-8")
    return path


def test_with_nothing_set_nothing_is_guarded() -> None:
    guards = PageGuards(settings())
    assert guards.context() is None
    assert not guards.wants_certificate
    assert guards.admits("")


@pytest.mark.parametrize(
    ("flags", "missing"),
    [
        ({"tls_cert": "/c"}, "tlsCert is set without tlsKey: give --tls-key or set OOMWARD_TLS_KEY"),
        ({"tls_key": "/k"}, "tlsKey is set without tlsCert: give --tls-cert or set OOMWARD_TLS_CERT"),
        (
            {"tls_client_ca": "/ca"},
            "tlsClientCa is set without tlsCert: give --tls-cert or set OOMWARD_TLS_CERT",
        ),
    ],
)
def test_half_of_what_tls_needs_is_refused_and_the_other_half_named(flags: dict[str, str], missing: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**flags)
    assert caught.value.problems == (missing,)


def test_a_bad_value_is_not_also_said_to_be_missing() -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tls_cert="/c", tls_key="\0")
    (problem,) = caught.value.problems
    assert problem.startswith("--tls-key: must be a string")


# ------------------------------------------------------------------------------------------------------------------ TLS


def test_files_that_are_not_there_are_each_named_with_their_key(tmp_path: Path) -> None:
    away = tmp_path / "away"
    assert problems(
        tls_cert=f"{away}.crt", tls_key=f"{away}.key", tls_client_ca=f"{away}.ca", basic_auth_file=f"{away}.users"
    ) == tuple(
        f"{key} {away}.{end}: cannot be read: No such file or directory; mount the Secret there, readable for the agent"
        for key, end in (("tlsCert", "crt"), ("tlsKey", "key"), ("tlsClientCa", "ca"), ("basicAuthFile", "users"))
    )


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    assert f"basicAuthFile {tmp_path}: cannot be read: Is a directory" in problems(basic_auth_file=str(tmp_path))[0]


def test_a_key_in_place_of_the_certificate_and_the_other_way_round_are_each_named() -> None:
    swapped = problems(tls_cert=SERVER["tls_key"], tls_key=SERVER["tls_cert"])
    assert [problem.partition(":")[2] for problem in swapped] == [
        " has no block 'BEGIN CERTIFICATE'; give a file in PEM",
        " has no block 'BEGIN PRIVATE KEY'; give a file in PEM",
    ]


@pytest.mark.parametrize("key", ["client.key", "encrypted.key"])
def test_a_key_of_another_certificate_or_with_a_passphrase_is_refused_and_nobody_is_asked(key: str) -> None:
    (problem,) = problems(tls_cert=SERVER["tls_cert"], tls_key=str(TLS / key))
    assert f"tlsKey {TLS / key} do not fit together" in problem
    assert "the key must belong to the certificate and have no passphrase" in problem


def test_a_block_of_rubbish_is_named(tmp_path: Path) -> None:
    rubbish = tmp_path / "ca.pem"
    rubbish.write_text("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    (problem,) = problems(**SERVER, tls_client_ca=str(rubbish))
    assert problem.startswith(f"tlsClientCa {rubbish} is invalid (")


def test_a_client_s_certificate_is_asked_for_and_not_required_so_that_probes_get_through() -> None:
    guards = PageGuards(settings(**SERVER, tls_client_ca=str(TLS / "ca.pem")))
    context = guards.context()
    assert context is not None
    assert guards.wants_certificate
    assert context.verify_mode is ssl.CERT_OPTIONAL
    plain = PageGuards(settings(**SERVER)).context()
    assert plain is not None
    assert plain.verify_mode is ssl.CERT_NONE
    assert plain.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_tls_older_than_1_2_is_not_spoken_where_python_leaves_that_to_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Debian 12's own Python does."""

    def as_debian(protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        return context

    monkeypatch.setattr("agent.settings.guards.ssl", SimpleNamespace(**{**vars(ssl), "SSLContext": as_debian}))
    context = PageGuards(settings(**SERVER)).context()
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


class Secret:
    """A mounted Secret: names that lead through ``..data`` to a folder, which the kubelet swaps as a whole."""

    def __init__(self, mount: Path) -> None:
        self._mount = mount
        self._versions = 0

    def swap(self, **files: bytes) -> None:
        self._versions += 1
        folder = self._mount / f"..{self._versions}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
            if not (self._mount / name).is_symlink():
                (self._mount / name).symlink_to(f"..data/{name}")
        (self._mount / "..data_tmp").symlink_to(folder.name)
        (self._mount / "..data_tmp").rename(self._mount / "..data")


def pair(name: str) -> dict[str, bytes]:
    return {"crt": (TLS / f"{name}.crt").read_bytes(), "key": (TLS / f"{name}.key").read_bytes()}


@pytest.fixture
def rotated(tmp_path: Path) -> tuple[Secret, PageGuards]:
    secret = Secret(tmp_path)
    secret.swap(**pair("server"))
    return secret, PageGuards(settings(tls_cert=str(tmp_path / "crt"), tls_key=str(tmp_path / "key")))


def test_as_long_as_nothing_changes_nothing_is_read_again(rotated: tuple[Secret, PageGuards]) -> None:
    _, guards = rotated
    assert guards.context() is guards.context()


def test_a_swapped_secret_is_in_force_at_the_next_connection(rotated: tuple[Secret, PageGuards]) -> None:
    secret, guards = rotated
    before = guards.context()
    secret.swap(**pair("rotated"))
    after = guards.context()
    assert after is not before
    assert guards.context() is after


def test_a_swap_to_what_does_not_go_together_is_refused_once_until_it_is_fixed(
    rotated: tuple[Secret, PageGuards], caplog: pytest.LogCaptureFixture
) -> None:
    secret, guards = rotated
    before = guards.context()
    secret.swap(crt=pair("rotated")["crt"], key=pair("server")["key"])
    assert [guards.context() for _ in range(3)] == [before] * 3
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (
        "the changed certificates of the pages are refused, the previous ones stay in force: tlsCert "
        in line.getMessage()
    )
    secret.swap(**pair("rotated"))
    assert guards.context() is not before


def test_files_that_are_away_in_the_middle_of_a_change_leave_all_as_it_was(
    rotated: tuple[Secret, PageGuards], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, guards = rotated
    before = guards.context()
    (tmp_path / "..data").unlink()
    assert guards.context() is before
    assert caplog.records == []


# ---------------------------------------------------------------------------------------------------------------- users


def test_each_user_gets_in_by_his_own_password_only(users: Path) -> None:
    guards = PageGuards(settings(basic_auth_file=str(users)))
    assert guards.admits(basic("prometheus", "s3cret:with:colons"))
    assert guards.admits(basic("zoë", "pässword"))
    assert guards.admits(basic("prometheus", "s3cret:with:colons").replace("Basic", "BASIC  "))
    for user, password in (("prometheus", "pässword"), ("zoë", ""), ("Prometheus", "s3cret:with:colons")):
        assert not guards.admits(basic(user, password))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic ????",
        "Basic cHJ",
        "Basic é",
        "Bearer x",
        "prometheus:s3cret:with:colons",
        basic("# for Prometheus", ""),
        "Basic " + base64.b64encode(b"# for Prometheus").decode(),
        "Basic " + "A" * 60000,
    ],
)
def test_anything_else_than_a_user_s_header_is_turned_away(users: Path, header: str) -> None:
    assert not PageGuards(settings(basic_auth_file=str(users))).admits(header)


def test_the_right_password_under_another_scheme_is_none(users: Path) -> None:
    header = basic("prometheus", "s3cret:with:colons").replace("Basic", "Bearer")
    assert not PageGuards(settings(basic_auth_file=str(users))).admits(header)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ": has no user"),
        ("# nobody\n\n", ": has no user"),
        ("prometheus:s3cret\nhunter2\n", ":2: must be a line user:password"),
        (":hunter2\n", ":1: must be a line user:password"),
        ("hunter2:\n", ":1: must be a line user:password"),
        ("hunter2" * 200_000, ": is larger than"),
    ],
)
def test_a_file_that_names_no_users_is_refused_without_being_shown(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "users"
    path.write_text(text)
    (problem,) = problems(basic_auth_file=str(path))
    assert f"basicAuthFile {path}{complaint}" in problem
    assert "hunter2" not in problem


def test_a_rotated_password_counts_at_once_and_the_old_one_no_more(
    users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    guards = PageGuards(settings(basic_auth_file=str(users)))
    users.write_text("prometheus:newer-s3cret\n")
    assert guards.admits(basic("prometheus", "newer-s3cret"))
    assert not guards.admits(basic("prometheus", "s3cret:with:colons"))
    assert "users of /metrics have changed" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_file_emptied_by_mistake_lets_nobody_in_who_was_not_let_in_before(
    users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guards = PageGuards(settings(basic_auth_file=str(users)))
    users.write_text("")
    assert not guards.admits(basic("", ""))
    assert not guards.admits("")
    assert guards.admits(basic("zoë", "pässword"))
    assert "the changed users of /metrics are refused, the previous ones stay in force" in caplog.text


def test_passwords_without_tls_are_warned_of(users: Path, caplog: pytest.LogCaptureFixture) -> None:
    PageGuards(settings(**SERVER, basic_auth_file=str(users)))
    assert caplog.records == []
    PageGuards(settings(basic_auth_file=str(users)))
    assert "unencrypted" in caplog.text


def test_passwords_are_compared_in_constant_time_with_every_user(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All lines are compared, as digests of one length, though the first is the right one."""
    compared: list[tuple[int, int]] = []

    def digests_equal(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr("agent.settings.guards.hmac.compare_digest", digests_equal)
    assert PageGuards(settings(basic_auth_file=str(users))).admits(basic("prometheus", "s3cret:with:colons"))
    assert compared == [(32, 32), (32, 32)]


def test_run_names_a_bad_file_and_begins_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent", "run", "--node-name", "n", "--state-dir", str(tmp_path / "state")]
    done = subprocess.run(
        [*command, "--basic-auth-file", str(tmp_path / "away")],
        capture_output=True, text=True, check=False, timeout=60, env=os.environ.copy(),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"oomward: basicAuthFile {tmp_path / 'away'}: cannot be read")
    assert not (tmp_path / "state").exists()
