"""No secret of a command line is shown, wherever it stands; what is shown is bounded, and hidden only once."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wording.redact import CUT, GONE, Redaction
from tests.unit.profiles import examples

SECRET = "Zq7xK9vW"
NAMES = (
    "password", "passwd", "db_password", "PGPASSWORD", "secret", "client-secret", "token", "auth-token", "GITHUB_TOKEN", "api-key",
    "apiKey", "API_KEY", "access_key", "private-key", "credentials", "authorization", "cookie", "jwt", "pass", "pwd", "key", "dsn",
)  # fmt: skip
HARMLESS = st.sampled_from(
    ["-m", "celery", "worker", "-Q", "images", "--workers=4", "/usr/bin/app", "-", "--", "x y", ""]
)
AROUND = st.lists(HARMLESS, max_size=4)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
WORDS = (
    "Bearer",
    "BASIC",
    "password",
    "token:",
    "key=",
    "-u",
    "-p",
    "--pass",
    "://",
    "a@b",
    '"',
    "'",
    "=",
    "{",
    "x",
    "mysql",
    " ",
)
SCRIPT = TEXT | st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)


def shown(*arguments: str, patterns: tuple[str, ...] = ()) -> str:
    return " ".join(Redaction(patterns).arguments(arguments))


@given(
    AROUND,
    st.sampled_from(NAMES),
    st.sampled_from(["--{n}={s}", "-{n}={s}", "{n}={s}", "--{n}\0{s}", "-{n}\0{s}"]),
    AROUND,
)
@examples(300)
def test_the_value_of_a_secret_name_is_never_shown(before: list[str], name: str, form: str, after: list[str]) -> None:
    arguments = form.format(n=name, s=SECRET).split("\0")
    assert SECRET not in shown("python", *before, *arguments, *after)


@given(
    st.sampled_from(NAMES),
    st.sampled_from(['"{s}"', "'{s}'", "{s}", '"a b {s}"', "x,{s}", 'a\\"{s}', '"a\\"{s}"']),
    SCRIPT,
    SCRIPT,
)
@examples(300)
def test_nor_in_a_script_or_a_title_or_json(name: str, quoted: str, before: str, after: str) -> None:
    value = quoted.format(s=SECRET)
    for form in ("{n}={v}", "{n}: {v}", "--{n} {v}", '"{n}": {v}', '["--{n}", {v}]'):
        assert SECRET not in shown("sh", "-c", f"{before} {form.format(n=name, v=value)} {after}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("psql", f"postgres://user:{SECRET}@db/x"),
        ("psql", f"postgres://user:a@/{SECRET}@db/x"),
        ("app", f"--dsn=amqp://u:{SECRET}@h:5672//"),
        ("app", f"mongodb://a:{SECRET}@h1,h2/x?replicaSet=r"),
        ("curl", "-u", f"joe:{SECRET}"),
        ("curl", f"--user=joe:{SECRET}"),
        ("curl", "-H", f"Authorization: Bearer {SECRET}"),
        ("curl", "-H", f"X-Api-Key: {SECRET}"),
        ("curl", f"https://h/p?a=1&access_token={SECRET}&b=2"),
        ("mysql", f"-p{SECRET}"),
        ("/usr/bin/mysqldump", f"-p{SECRET}", "db"),
        ("redis-cli", "-a", SECRET),
        ("ldapsearch", "-w", SECRET),
        ("app", "-p", SECRET),
        ("app", f"eyJ{SECRET}{SECRET}.eyJ{SECRET}.{SECRET}"),
        ("app", f"AKIA{SECRET.upper()}ABCD"),
        ("app", f"ghp_{SECRET}{SECRET}"),
        ("app", f"glpat-{SECRET}{SECRET}"),
        ("app", f"xoxb-{SECRET}-{SECRET}"),
        ("app", f"{SECRET}{SECRET}{SECRET}+/="),
        ("app", f"-----BEGIN PRIVATE KEY-----\n{SECRET}"),
        (f"app --password {SECRET}", ""),
    ],
)  # fmt: skip
def test_secrets_in_their_usual_places_are_not_shown(arguments: tuple[str, ...]) -> None:
    assert SECRET.lower() not in shown(*arguments).lower()
    assert GONE in shown(*arguments)


def test_keys_of_hexadecimal_digits_are_not_shown() -> None:
    assert shown("app", "0123456789abcdef" * 2) == f"app {GONE}"


@pytest.mark.parametrize(
    "arguments",
    [
        "python -m celery worker -Q images",
        "gunicorn --workers 4 --bind 0.0.0.0:8000 app.wsgi:application",
        "/usr/lib/jvm/java-17-openjdk-amd64/bin/java -Xmx2g -cp /opt/app/lib/Foo-1.2.3.jar com.example.Main",
        "python3 /usr/local/lib/python3.11/site-packages/jupyterlab/__main__.py --port 8888",
        "postgres: checkpointer",
        "vllm --tokenizer x --model meta-llama/Llama-3.1-8B-Instruct",
        "app -p 8080 --author me",
        "kubelet https://10.0.0.1:6443/healthz",
    ],
)
def test_what_is_no_secret_is_shown(arguments: str) -> None:
    assert shown(*arguments.split()) == arguments


def test_patterns_hide_whole_arguments_and_the_values_of_names() -> None:
    arguments = ("app", "--license-file", "a b", "CORP_77", "MY_LICENSE=x", "other")
    assert (
        shown(*arguments, patterns=("*license*", "corp_*"))
        == f"app --license-file {GONE} {GONE} MY_LICENSE={GONE} other"
    )


def test_the_program_itself_is_no_value() -> None:
    assert shown("--password", "x") == f"--password {GONE}"
    assert shown("password") == "password"


ANY = st.lists(
    SCRIPT | st.sampled_from(["--password", "-p", "-u", "a:b", "token=x", "://u:p@h", GONE, CUT, "key", "x" * 30]),
    max_size=8,
)


@given(ANY)
@examples(400)
def test_the_same_again_changes_nothing_and_no_argument_is_lost(arguments: list[str]) -> None:
    redaction = Redaction(("*zz*",))
    once = redaction.arguments(arguments)
    assert len(once) == len(arguments)
    assert redaction.arguments(once) == once
    assert all(len(after) <= 2 * len(before) + 4 for before, after in zip(arguments, once, strict=True))


@pytest.mark.parametrize(
    "part",
    [
        "pwd",
        "token ",
        'password="',
        "://",
        "://@",
        " -u",
        "-u ",
        " ",
        "eyJabcdef.",
        "a",
        "aA1/",
        '"\\',
        "Bearer ",
        "-----BEGIN",
        "x=",
        "a:",
    ],
)
def test_no_text_of_others_takes_long(part: str) -> None:
    """The longest that is read (command_lines.MOST_BYTES), with as many patterns as may be set."""
    redaction = Redaction(("*a*b*c*d*e*f*",) * 50)
    text = (part * 2048)[:2048]
    began_s = time.process_time()
    redaction.arguments(("app", text))
    redaction.arguments(("app", string.ascii_letters + text, "--" + text))
    assert time.process_time() - began_s < 0.5


@pytest.mark.parametrize(
    "script",
    [
        f'BASIC "password": "{SECRET}"',
        f"Bearer password= {SECRET}",
        f"Basic --password {SECRET}",
        f"the secret key: {SECRET}",
        f"token password: {SECRET}",
        f"Authorization: Basic {SECRET}",
        f"mysqladmin -uroot -p{SECRET} ping",
        f"cd /x && mysql -h db -p{SECRET}",
        f"AccountKey={SECRET};masterkey={SECRET}",
        f'{{"encryptionKey": "{SECRET}"}}',
    ],
)
def test_one_rule_never_hides_what_another_needs_to_find_a_secret(script: str) -> None:
    assert SECRET not in shown("sh", "-c", script)


def test_a_program_that_is_started_by_another_takes_its_password_as_well() -> None:
    assert shown("timeout", "5", "/usr/bin/mysqldump", f"-p{SECRET}") == f"timeout 5 /usr/bin/mysqldump -p{GONE}"
