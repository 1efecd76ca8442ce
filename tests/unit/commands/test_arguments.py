"""What can be typed, and what the commands say about themselves."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import __version__
from agent.cli import main
from agent.commands import EXIT_OK, EXIT_USAGE
from agent.commands.arguments import COMMANDS, DURATION, outputs_of, since_unix_s
from agent.commands.parsers import EXAMPLES, SETTINGS_TITLE, choices_of, parser
from agent.settings import SETTINGS
from tests.unit.profiles import examples

NOW = 1_800_000_000.0
DAY_S = 86400.0


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize(
    ("text", "back_s"),
    [
        ("90", 90), ("30s", 30), ("1.5h", 5400), ("30d", 30 * DAY_S), ("1d12h", 1.5 * DAY_S), ("1h30m15s", 5415), ("3650d", 3650 * DAY_S),
        ("2027-01-15T07:00:00Z", 3600), ("2027-01-15T08:00:00+01:00", 3600), ("2027-01-15t07:59:59.5z", 0.5),
    ],
)  # fmt: skip
def test_since_goes_back_by_a_duration_or_to_a_time(text: str, back_s: float) -> None:
    assert since_unix_s(text) == NOW - back_s


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("yesterday", "neither a duration"), ("", "neither"), ("-1h", "neither"), ("1w", "neither"), ("h", "neither"), ("1h 2m", "neither"),
        ("٣h", "neither"), ("1e9", "neither"), ("2027-01-15", "neither"), ("2027-01-15T07:00:00", "neither"), ("0s", "more than 0"),
        ("3651d", "at most 3650d"), ("9" * 5000, "neither"), ("2027-01-15T08:00:01Z", "not in the past"),
        ("2027-13-15T08:00:01Z", "is not a time"), ("1969-01-15T08:00:01Z", "not in the past"), ("\x1b[2J", "neither"),
    ],
)  # fmt: skip
def test_what_is_neither_says_how_to_write_it(text: str, why: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=why) as caught:
        since_unix_s(text)
    assert str(caught.value).isprintable()


@given(st.text())
@examples(200)
def test_any_other_text_is_a_time_of_the_past_or_refused(text: str) -> None:
    try:
        assert 0 <= since_unix_s(text) < time.time()
    except argparse.ArgumentTypeError:
        assert not DURATION.match(text) or text.strip("0smhd.") == "" or len(text) > 4


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_help_has_its_own_options_first_then_the_settings_that_matter_and_examples_at_the_end(
    name: str,
) -> None:
    text = choices_of(parser())[name].format_help()
    assert max(map(len, text.splitlines())) <= 80
    assert text.rstrip().endswith(f"  {EXAMPLES[name][-1]}")
    assert text.startswith(f"usage: oomward {name}")
    settings = [one.flag for one in SETTINGS if f"\n  {one.flag} " in text or f"\n  {one.flag}\n" in text]
    if not settings:
        assert SETTINGS_TITLE not in text
        return
    assert text.index("options:") < text.index(SETTINGS_TITLE) < min(text.index(f"  {flag} ") for flag in settings)
    if name not in ("run", "recover"):
        assert len(settings) <= 11
        assert not {"--listen", "--tls-cert", "--event-budget-pod", "--log-level"} & set(settings)


def test_a_setting_that_does_not_matter_is_taken_all_the_same() -> None:
    """One set of flags serves all commands."""
    assert parser().parse_args(["ps", "--listen", ":1"]).listen == ":1"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_can_be_typed(name: str) -> None:
    for line in EXAMPLES[name]:
        words = line.replace("source <(", "").replace(")", "").partition(">")[0].rpartition("| ")[2].split()
        assert words[0] == "oomward"
        parser().parse_args(words[1:])


def test_help_is_a_command_and_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("help", "history")) == EXIT_OK
    as_command = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(("history", "--help"))
    assert capsys.readouterr().out == as_command
    assert main(("help",)) == EXIT_OK
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert all(f"\n    {name}" in out for name in COMMANDS)


def test_help_of_no_command_is_a_wrong_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(("help", "sing"))
    assert ended.value.code == EXIT_USAGE
    assert "invalid choice: 'sing'" in capsys.readouterr().err


def test_the_version_is_a_line_or_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("version",)) == EXIT_OK
    assert capsys.readouterr().out == f"oomward {__version__}\n"
    assert main(("version", "-o", "json")) == EXIT_OK
    found = json.loads(capsys.readouterr().out)
    assert (found["oomward"], found["version"]) == (1, __version__)


def test_namespace_and_all_namespaces_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["ps", "-n", "shop", "-A"])
    assert "not allowed with" in capsys.readouterr().err


def test_w_takes_no_value_so_that_a_pod_can_follow() -> None:
    given = parser().parse_args(["diagnose", "-w", "web-1"])
    assert (given.watch, given.pod) == (2.0, "web-1")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_that_a_command_does_not_have_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    own = set(outputs_of(name)) if name not in ("run", "recover", "help", "completion") else set()
    if name == "advise":
        assert own == {"table", "wide", "json", "yaml", "name", "patch"}
        return
    word = {"explain": "web-1", "oom-policy": "show", "completion": "bash"}.get(name)
    for output in {"table", "wide", "json", "yaml", "name", "patch"} - own:
        with pytest.raises(SystemExit):
            parser().parse_args([name, *([word] if word else []), "-o", output])
    assert capsys.readouterr().err


def test_asking_for_help_or_version_needs_no_setting_and_no_agent() -> None:
    for words in (["version"], ["help", "ps"], ["completion", "bash"]):
        done = subprocess.run(
            [sys.executable, "-m", "agent", *words], capture_output=True, text=True, check=True, env={}
        )
        assert done.stderr == ""
