"""Where a setting comes from, what it may be, and how it is said to be wrong."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.settings import SETTINGS, SettingsError, add_arguments, load
from agent.settings.values import LONGEST_S, UNITS_S, duration_s
from tests.unit.profiles import examples

NODE = {"NODE_NAME": "node-1"}
NO_NODE_NAME = (
    "nodeName is not set: give --node-name or set NODE_NAME (in a DaemonSet, from the downward API: env valueFrom fieldRef "
    "fieldPath spec.nodeName)"
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def problems_of(flags: dict[str, object], environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(flags, environ)
    return caught.value.problems


def test_with_nothing_but_a_node_name_the_defaults_apply() -> None:
    settings = load({}, NODE)
    assert settings.node_name == "node-1"
    assert settings.kubeconfig is None
    assert settings.cgroup_mount == Path("/sys/fs/cgroup")
    assert settings.cgroup_roots == ()
    assert settings.kmsg == Path("/dev/kmsg")
    assert settings.state_dir == Path("/var/lib/oomward")
    assert settings.listen == ("0.0.0.0", 9797)
    assert settings.log_format is None
    assert settings.log_level == "info"
    assert (settings.api_lax_ca, settings.mode_applied_events) == (False, True)
    assert settings.resync_interval_s == 1200.0
    assert (settings.kill_retention_days, settings.kill_retention_count) == (30, 100_000)
    assert settings.rules.rules == ()


def test_flags_go_before_environment_before_file_before_defaults(config: Path) -> None:
    config.write_text("logLevel: error\nlogFormat: text\nlisten: 127.0.0.1:1\n")
    environ = {**NODE, "OOMWARD_CONFIG": str(config), "OOMWARD_LOG_FORMAT": "json", "OOMWARD_LISTEN": "127.0.0.1:2"}
    settings = load({"listen": "127.0.0.1:3", "log_level": None}, environ)
    assert settings.listen == ("127.0.0.1", 3)
    assert settings.log_format == "json"
    assert settings.log_level == "error"
    assert settings.kmsg == Path("/dev/kmsg")


def test_the_config_flag_goes_before_its_variable(config: Path) -> None:
    config.write_text("logLevel: debug\n")
    settings = load({"config": str(config)}, {**NODE, "OOMWARD_CONFIG": "/does/not/exist"})
    assert (settings.config, settings.log_level) == (config, "debug")


def test_by_default_the_runtimes_nri_is_used_where_it_is() -> None:
    settings = load({}, NODE)
    assert (settings.nri, settings.nri_index) == ("auto", "90")
    assert settings.nri_socket == Path("/var/run/nri/nri.sock")


@pytest.mark.parametrize("written", ["off", "'off'", "Off", "OFF", "no", "false"])
def test_nri_can_be_turned_off_in_a_file_with_or_without_quotation_marks(config: Path, written: str) -> None:
    """YAML 1.1 reads off, no and false as one boolean."""
    config.write_text(f"nri: {written}\n")
    assert load({"config": str(config)}, NODE).nri == "off"


@pytest.mark.parametrize(("written", "shown"), [("on", "True"), ("sometimes", "'sometimes'"), ("1", "1"), ("''", "''")])
def test_any_other_word_for_nri_is_a_problem(config: Path, written: str, shown: str) -> None:
    config.write_text(f"nri: {written}\n")
    assert problems_of({"config": str(config)}, NODE) == (
        f"{config}:1: nri: {shown} is not one of auto, off, required",
    )


@pytest.mark.parametrize(("written", "index"), [("90", "90"), ("'05'", "05"), ("10", "10"), ("'00'", "00")])
def test_the_plugins_index_is_two_digits_with_or_without_quotation_marks(
    config: Path, written: str, index: str
) -> None:
    config.write_text(f"nriIndex: {written}\n")
    assert load({"config": str(config)}, NODE).nri_index == index


@pytest.mark.parametrize("index", ["5", "100", "a0", "-1", "9 ", "1.", "²²", "٠١"])
def test_any_other_index_is_a_problem(index: str) -> None:
    (problem,) = problems_of({"nri_index": index}, NODE)
    assert problem == f"--nri-index: {index!r} is not two digits, e.g. 90"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load({}, {**NODE, "KUBECONFIG": "", "OOMWARD_LOG_LEVEL": ""}).kubeconfig is None


def test_every_setting_can_be_given_by_flag_variable_and_file(config: Path) -> None:
    good = {
        "node_name": "node-2", "kubeconfig": "/k", "cgroup_mount": "/c", "cgroup_roots": "a/kubepods", "kmsg": "/m",
        "state_dir": "/s", "listen": "[::1]:80", "log_format": "text", "log_level": "DEBUG", "api_lax_ca": "true",
        "mode_applied_events": "false", "emulate_group_on_v1": "true", "pressure_events": "all",
        "event_budget_pod": "1/2m", "event_budget_node": "3/4s",
        "tls_cert": "/tls/crt", "tls_key": "/tls/key", "tls_client_ca": "/tls/ca", "basic_auth_file": "/users",
        "resync_interval_s": "1h", "real_time": "false", "nri": "required", "nri_socket": "/n", "nri_index": "05",
        "command_lines": "events", "redact_patterns": "*dsn*, corp_*", "kill_retention_days": "2", "kill_retention_count": "5",
    }  # fmt: skip
    assert {s.name for s in SETTINGS} == {*good, "config"}
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    by_name = {s.name: s for s in SETTINGS}
    argv = [text for name, value in good.items() for text in (by_name[name].flag, value)]
    by_flag = load(vars(parser.parse_args(argv)), {})
    by_variable = load({}, {by_name[name].variable: value for name, value in good.items()})
    config.write_text("".join(f"{by_name[name].key}: '{value}'\n" for name, value in good.items()))
    by_file = load({"config": str(config)}, {})
    assert by_flag == by_variable
    for name in good:
        assert getattr(by_flag, name) == getattr(by_file, name)
        assert getattr(by_flag, name) != getattr(load({}, NODE), name)
    assert by_flag.listen == ("::1", 80)
    assert by_flag.resync_interval_s == 3600.0


def test_names_of_flags_variables_and_keys_follow_one_pattern() -> None:
    by_name = {s.name: (s.flag, s.variable, s.key) for s in SETTINGS}
    assert by_name["state_dir"] == ("--state-dir", "OOMWARD_STATE_DIR", "stateDir")
    assert by_name["resync_interval_s"] == ("--resync-interval", "OOMWARD_RESYNC_INTERVAL", "resyncInterval")
    assert by_name["node_name"] == ("--node-name", "NODE_NAME", "nodeName")
    assert by_name["kubeconfig"] == ("--kubeconfig", "KUBECONFIG", "kubeconfig")
    assert by_name["cgroup_roots"] == ("--cgroup-root", "OOMWARD_CGROUP_ROOTS", "cgroupRoots")


def test_every_flag_shows_its_variable_and_default_in_help() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    text = " ".join(parser.format_help().split())
    for setting in SETTINGS:
        assert setting.flag in text
        assert f"[{setting.variable};" in text.replace("- ", "-")


def test_help_shows_words_that_are_taken_as_they_are_typed() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    text = parser.format_help()
    assert {"--nri auto|off|required", "--log-format json|text", "--nri-index TWO-DIGITS"} <= set(
        re.findall(r"--\S+ \S+", text)
    )


def test_without_a_node_name_the_downward_api_is_named() -> None:
    (problem,) = problems_of({}, {})
    assert "NODE_NAME" in problem
    assert "fieldPath spec.nodeName" in problem


def test_a_command_that_needs_no_node_name_gets_an_empty_one() -> None:
    assert load({}, {}, required=()).node_name == ""


def test_all_problems_are_reported_at_once_each_with_its_place(config: Path) -> None:
    config.write_text("logLevel: loud\nkilRetentionDays: 3\n")
    problems = problems_of({"config": str(config), "listen": "9797"}, {"OOMWARD_API_LAX_CA": "yes"})
    assert problems == (
        f"{config}:2: unknown key 'kilRetentionDays'; did you mean killRetentionDays?",
        f"{config}:1: logLevel: 'loud' is not one of debug, info, warning, error",
        "--listen: '9797' is not an address: write host:port, e.g. 0.0.0.0:9797 or [::]:9797",
        "environment variable OOMWARD_API_LAX_CA: 'yes' is not one of true, false",
        NO_NODE_NAME,
    )


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("node_name", "Node_1", "is not a valid node name"),
        ("node_name", "$(NODE_NAME)", "is not a valid node name"),
        ("listen", "localhost", "is not an address"),
        ("listen", "localhost:http", "is not an address"),
        ("listen", "localhost:65536", "is not an address"),
        ("listen", "localhost:9²", "is not an address"),
        ("listen", "localhost:000000999999", "is not an address"),
        ("listen", "::1:80", "is not an address"),
        ("listen", "[::1:80", "is not an address"),
        ("listen", "[host]:80", "is not an address"),
        ("listen", "a b:80", "is not an address"),
        ("log_format", "xml", "not one of json, text"),
        ("api_lax_ca", "1", "not one of true, false"),
        ("resync_interval_s", "soon", "write e.g. 30s, 20m or 1h"),
        ("resync_interval_s", "m", "write e.g. 30s, 20m or 1h"),
        ("resync_interval_s", "0", "more than 0"),
        ("resync_interval_s", "-5m", "is not a duration"),
        ("resync_interval_s", "inf", "is not a duration"),
        ("resync_interval_s", "nan", "is not a duration"),
        ("event_budget_pod", "10", "write number/interval, e.g. 10/1m"),
        ("event_budget_pod", "0/1m", "from 1 to"),
        ("event_budget_node", "10/soon", "is not a duration"),
        ("resync_interval_s", "169h", "at most 168h"),
        ("kill_retention_days", "0", "must be from 1"),
        ("kill_retention_days", "3.5", "not a whole number"),
        ("kill_retention_count", "many", "not a whole number"),
        ("kill_retention_count", "9" * 5000, "not a whole number|must be from"),
        ("cgroup_roots", "../kubepods", "not a path below the cgroup mount"),
        ("cgroup_roots", "a,,b", "must be a string"),
        ("cgroup_roots", "/", "not a path below the cgroup mount"),
    ],
)
def test_a_bad_value_is_refused_with_the_fix(name: str, value: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        load({name: value}, {} if name == "node_name" else NODE)
    assert len(str(caught.value)) < 400


# As int() and float() read them, and no manifest does.
ODD_NUMBERS = ["1_0", "١", "+5", "-5", "５", "1e1", "0x5", "5_"]


@pytest.mark.parametrize("number", [*ODD_NUMBERS, " 5", "5\n", ""])
def test_a_number_is_of_ascii_digits_only(number: str) -> None:
    with pytest.raises(SettingsError, match="is not a whole number"):
        load({"kill_retention_days": number}, NODE)


@pytest.mark.parametrize("unit", ["", "s", "m", "h"])
@pytest.mark.parametrize("number", [*ODD_NUMBERS, "1_0.5", "infinity", "1.5.", "."])
def test_a_duration_is_of_ascii_digits_and_a_point(number: str, unit: str) -> None:
    for name, value in (("resync_interval_s", number + unit), ("event_budget_pod", f"10/{number}{unit}")):
        with pytest.raises(SettingsError, match="is not a duration"):
            load({name: value}, NODE)


@given(st.text(st.sampled_from("0123456789._+-eE ١５smh/"), max_size=8))
@examples(300)
def test_what_is_taken_for_a_duration_is_digits_with_a_point_and_a_unit(text: str) -> None:
    grammar = re.match(r" *(?=\.?[0-9])([0-9]*\.?[0-9]*)([smh]?) *\Z", text)
    try:
        seconds = duration_s(text)
    except ValueError:
        assert grammar is None or not 0 < float(grammar[1]) * UNITS_S.get(grammar[2], 1.0) <= LONGEST_S
    else:
        assert grammar is not None
        assert seconds == float(grammar[1]) * UNITS_S.get(grammar[2], 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(":0", ("0.0.0.0", 0)), ("localhost:80", ("localhost", 80)), ("[::]:9797", ("::", 9797))],
)
def test_addresses_may_leave_out_the_host_or_be_ipv6(text: str, expected: tuple[str, int]) -> None:
    assert load({"listen": text}, NODE).listen == expected


def test_cgroup_roots_are_kept_without_slashes_at_their_ends() -> None:
    assert load({"cgroup_roots": "/a/kubepods/, kubepods.slice"}, NODE).cgroup_roots == ("a/kubepods", "kubepods.slice")


def test_numbers_and_switches_may_be_plain_yaml(config: Path) -> None:
    config.write_text("killRetentionDays: 7\napiLaxCa: true\nresyncInterval: 90\ncgroupRoots: [a, b]\n")
    settings = load({"config": str(config)}, NODE)
    assert (settings.kill_retention_days, settings.api_lax_ca, settings.resync_interval_s) == (7, True, 90.0)
    assert settings.cgroup_roots == ("a", "b")


def test_settings_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        load({}, NODE).log_level = "debug"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("*", "'*' matches every argument: set commandLines to names instead"),
        ("*dsn*, ?*", "'?*' matches every argument"),
        ("x" * 101, "is longer than 100 characters"),
        (",".join(f"a{n}" for n in range(51)), "has 51 patterns: at most 50 are allowed"),
        ("[a", "is not a glob: the [ at character 1 has no ]"),
        ("a,,b", "must be a string or a list of strings"),
    ],
)
def test_patterns_of_secrets_that_cannot_be_meant_are_refused(value: str, why: str) -> None:
    with pytest.raises(SettingsError) as error:
        load({"node_name": "n", "redact_patterns": value}, {})
    assert "--redact-patterns: " in str(error.value)
    assert why in str(error.value)


def test_off_without_quotation_marks_reads_no_command_lines(config: Path) -> None:
    config.write_text("commandLines: off\n")
    assert load({"node_name": "n", "config": str(config)}, {}).command_lines == "off"
