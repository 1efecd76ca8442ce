"""The configuration file: what it may contain, and the line of every problem."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agent.model import LabelSelector, Mode, OnExceeded, Rule, Rules, Tolerance
from agent.settings import SettingsError, load_rules
from agent.settings.selectors import parse_selector


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "c.yaml"


def problems_of(config: Path, text: str) -> tuple[str, ...]:
    """Each problem with the file's name taken off: ``line: …``."""
    config.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_rules(config)
    assert all(problem.startswith(str(config)) for problem in caught.value.problems)
    return tuple(problem.removeprefix(f"{config}").removeprefix(":") for problem in caught.value.problems)


GOOD = """\
# the platform team's rules
ignoreLabelsIn: ["kube-*", default]
rules:
- name: notebooks
  mode: Single
  namespaces: ["jupyter-*"]
  selector: "app in (notebook, lab),!legacy"
  containers: notebook
- mode: group
  selector:
    matchLabels: {tier: web}
    matchExpressions:
    - {key: canary, operator: DoesNotExist}
- name: rest
  mode: leave
"""


def test_rules_are_read_as_they_are_written(config: Path) -> None:
    config.write_text(GOOD)
    assert load_rules(config) == Rules(
        (
            Rule(
                "notebooks",
                Mode.SINGLE,
                ("jupyter-*",),
                parse_selector("app in (notebook, lab),!legacy"),
                ("notebook",),
            ),
            Rule("rule-2", Mode.GROUP, (), parse_selector("tier=web,!canary"), ()),
            Rule("rest", None, (), LabelSelector(), ()),
        ),
        ("kube-*", "default"),
    )


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "rules:\n", "rules: []\nignoreLabelsIn:\n", "---\n", "\ufeffrules: []\n"]
)
def test_a_file_without_rules_is_a_good_one(config: Path, text: str) -> None:
    config.write_text(text, encoding="utf-8")
    assert load_rules(config) == Rules()


def test_a_key_that_is_not_known_is_named_with_its_line_and_the_nearest_that_is(config: Path) -> None:
    assert problems_of(config, "\nrule: []\n") == ("2: unknown key 'rule'; did you mean rules?",)
    assert problems_of(config, "ignore_labels_in: []\n") == (
        "1: unknown key 'ignore_labels_in'; did you mean ignoreLabelsIn?",
    )
    (problem,) = problems_of(config, "rules:\n- mode: single\n  namespace: [a]\n")
    assert problem == "3: unknown key 'namespace'; did you mean namespaces?"
    (far,) = problems_of(config, "zzz: 1\n")
    assert "known keys" in far
    assert "stateDir" in far


def test_the_path_of_the_file_itself_is_no_key_of_it(config: Path) -> None:
    assert problems_of(config, "config: /x\n")[0].startswith("1: unknown key 'config'")


def test_a_key_given_twice_is_named_with_both_lines(config: Path) -> None:
    assert problems_of(config, "rules: []\nlogLevel: info\nrules: []\n") == (
        f"3: rules is given twice (first at {config}:1); remove one",
    )
    assert problems_of(config, "rules:\n- mode: single\n  mode: group\n") == (
        f"3: mode is given twice (first at {config}:2); remove one",
    )
    assert problems_of(config, "rules:\n- mode: single\n  selector:\n    matchLabels:\n      a: b\n      a: c\n") == (
        f"6: a is given twice (first at {config}:5); remove one",
    )


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{name: x}", "2: rule 1 has no mode: add single, group or leave"),
        ("{mode: singel}", "2: mode: 'singel' is not a mode: write single, group or leave"),
        ("{mode: on}", "2: mode: True is not a mode: write single, group or leave"),
        ("{mode: }", "2: mode has no value; give one or remove the key"),
        ("{mode: single, name: 5}", "2: name: must be a string, not 5"),
        (
            "{mode: single, namespaces: []}",
            "2: namespaces: is an empty list: remove the key to match everything, or list what should match",
        ),
        ("{mode: single, namespaces: [1]}", "2: namespaces: must be a string or a list of strings, not [1]"),
        ("{mode: single, namespaces: {a: b}}", "2: namespaces: must be a string or a list of strings, not {'a': 'b'}"),
        ('{mode: single, containers: ["x[ab"]}', "2: containers: 'x[ab' is not a glob: the [ at character 2 has no ]"),
        ('{mode: single, containers: ["[]"]}', "2: containers: '[]' is not a glob: the [ at character 1 has no ]"),
        (
            "{mode: single, selector: 'a in b'}",
            "2: selector: character 6 of selector 'a in b': expected '(' but found 'b'",
        ),
        (
            "{mode: single, selector: [a]}",
            "2: selector: must be a string like 'app in (a, b)' or a mapping with matchLabels, not ['a']",
        ),
        ("{mode: single, selector: {matchLabels: {on: yes}}}", "2: selector: True is not a string: put it in quotes"),
        ("just text", "2: rule 1 must be a mapping of keys to values"),
        ("[]", "2: rule 1 must be a mapping of keys to values"),
    ],
)
def test_a_bad_rule_is_named_by_line_key_and_fix(config: Path, rule: str, problem: str) -> None:
    assert problems_of(config, f"rules:\n- {rule}\n") == (problem,)


def test_a_rule_may_say_how_much_is_tolerated(config: Path) -> None:
    config.write_text("rules:\n- {name: ci, mode: single, tolerate: 5/10m, onExceeded: Restart, tolerateScope: any}\n")
    (rule,) = load_rules(config).rules
    assert rule.tolerance == Tolerance(5, 600.0, OnExceeded.RESTART, True, "configured rule ci")
    config.write_text("rules:\n- {mode: single, tolerate: 1/30s}\n")
    (rule,) = load_rules(config).rules
    assert rule.tolerance == Tolerance(1, 30.0, OnExceeded.ARM, False, "configured rule rule-1")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("tolerate: 5", "write number/time, e.g. 5/10m"),
        ("tolerate: 5/10m, onExceeded: explode", "is not one of arm, restart"),
        ("tolerate: 5/10m, tolerateScope: all", "is not one of own, any"),
        ("onExceeded: restart", "onExceeded has no effect without tolerate"),
    ],
)
def test_a_tolerance_that_says_nothing_that_can_be_done_is_refused(config: Path, keys: str, problem: str) -> None:
    (found,) = problems_of(config, f"rules:\n- {{mode: single, {keys}}}\n")
    assert problem in found


def test_globs_may_contain_a_bracket_in_a_set(config: Path) -> None:
    config.write_text("rules: [{mode: single, namespaces: ['[]]', '[!]a]x', 'a[0-9]']}]\n")
    assert load_rules(config).rules[0].namespaces == ("[]]", "[!]a]x", "a[0-9]")


def test_two_rules_of_one_name_are_refused(config: Path) -> None:
    text = "rules:\n- {name: a, mode: single}\n- {name: a, mode: group}\n"
    assert problems_of(config, text) == (f"3: the rule at {config}:2 is also called 'a'; rename one",)


def test_every_problem_of_every_rule_is_reported_at_once(config: Path) -> None:
    text = "rules:\n- {mode: x}\n- {mode: single, selector: '('}\n- {name: z}\nignoreLabelsIn: 5\n"
    assert [problem.split(":")[0] for problem in problems_of(config, text)] == ["2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rules: {a: b}\n", "1: rules must be a list: start each rule with a dash"),
        ("rules: all\n", "1: rules must be a list: start each rule with a dash"),
        ("- a\n- b\n", "1: the file must be a mapping of keys to values"),
        ("[a]: b\n", "1: a key of the file must be a string"),
        ("a: b\n---\nc: d\n", "2: not valid YAML: but found another document"),
        ("rules:\n\t- x\n", "2: not valid YAML: found character '\\t' that cannot start any token"),
        ("rules: [\n", "2: not valid YAML: expected the node content, but found '<stream end>'"),
        ("ignoreLabelsIn: *nowhere\n", "1: not valid YAML: found undefined alias 'nowhere'"),
        (
            "logLevel: !!python/name:os.system ''\n",
            "1: logLevel: cannot be read: could not determine a constructor for the tag 'tag:yaml.org,2002:python/name:os.system'",
        ),
        ("killRetentionDays: !!int ''\n", "1: killRetentionDays: cannot be read: the value does not fit its YAML tag"),
        ("apiLaxCa: !!bool maybe\n", "1: apiLaxCa: cannot be read: the value does not fit its YAML tag"),
    ],
)
def test_a_file_that_is_no_configuration_is_named_by_line(config: Path, text: str, problem: str) -> None:
    assert problems_of(config, text)[0] == problem


def test_a_missing_file_a_folder_and_a_huge_file_are_said_to_be_unreadable(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    huge.write_bytes(b"#" * (2 << 20))
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, why in (
        (tmp_path / "missing", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (huge, "larger than"),
        (binary, "utf-8"),
    ):
        with pytest.raises(SettingsError, match="cannot be read") as caught:
            load_rules(path)
        assert why in str(caught.value)
        assert str(path) in str(caught.value)


def test_nesting_without_end_and_aliases_without_end_are_problems_like_others(config: Path) -> None:
    assert "nested too deeply" in problems_of(config, "a: " + "[" * 20_000)[0]
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    problems = problems_of(config, bomb + "rules: [{mode: single, namespaces: *a59}]\nlogLevel: *a59\n")
    assert all(len(problem) < 600 for problem in problems)
    assert any("logLevel" in problem for problem in problems)
    assert problems_of(config, "logLevel: &a {<<: *a}\n")[0].startswith("1: ")
    merged = "- &a0 {k: v}\n" + "".join(f"- &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12))
    assert "it takes over too many keys (<<)" in problems_of(config, f"ignoreLabelsIn:\n{merged}")[0]


def test_of_very_many_problems_the_first_are_reported_and_the_rest_counted(config: Path) -> None:
    config.write_text("rules:\n" + "- {}\n" * 300)
    with pytest.raises(SettingsError, match=r"… and 250 more$") as caught:
        load_rules(config)
    assert len(caught.value.problems) == 300


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=60) | st.text("rules:-[]{}&*!|>'\"#%@ \n\tmodesingle", max_size=60).map(str.encode))
def test_any_bytes_are_rules_or_a_settings_error(config: Path, raw: bytes) -> None:
    config.write_bytes(raw)
    try:
        rules = load_rules(config)
    except SettingsError:
        return
    assert isinstance(rules, Rules)
