"""The configuration in the request's names: for the cluster, a namespace and a pod; the narrower one restricts and never widens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.recover import DEFAULT_POLICY, Action, Policy, RecoverConfig
from agent.settings import SettingsError
from agent.settings.recover import load_recover, parse_policy

POLICIES = st.builds(
    Policy,
    enabled=st.booleans(),
    build_fallback=st.booleans(),
    most_attempts=st.none() | st.integers(0, 9),
    disabled=st.frozensets(st.sampled_from(Action)),
    dry_run=st.booleans(),
)
STRATEGIES = """
strategies:
- group: ml.example
  version: v1
  plural: notebookjobs
  kind: NotebookJob
  podLabel: ml.example/job
  entries:
  - name: s2i
  - name: tekton
    patch:
    - {op: test, path: /spec/strategy, value: s2i}
    - {op: replace, path: /spec/strategy, value: tekton}
"""


def of_file(tmp_path: Path, text: str) -> RecoverConfig:
    file = tmp_path / "recover.yaml"
    file.write_text(text)
    return load_recover(file)


def test_without_a_file_it_is_a_dry_run_with_three_attempts() -> None:
    assert load_recover(None).policy == DEFAULT_POLICY == Policy(most_attempts=3, dry_run=True)


def test_the_file_has_the_names_of_the_request(tmp_path: Path) -> None:
    config = of_file(
        tmp_path,
        "enableSmartRecovery: true\nenableBuildFallback: false\nmaxRecoveryAttempts: 5\ndisabledRecoveryActions: [grow]\n"
        "dryRun: false\nbackOff: 1m\nbreakerOwners: 7\nclosedNamespaces: [vault]\n",
    )
    assert config.policy == Policy(build_fallback=False, most_attempts=5, disabled=frozenset({Action.GROW}))
    assert (config.bounds.back_off_s, config.bounds.breaker_owners, config.closed) == (60.0, 7, frozenset({"vault"}))


def test_strategies_are_data(tmp_path: Path) -> None:
    (strategy,) = of_file(tmp_path, STRATEGIES).strategies
    assert [entry.name for entry in strategy.entries] == ["s2i", "tekton"]
    assert strategy.entries[1].guards == ({"op": "test", "path": "/spec/strategy", "value": "s2i"},)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("enableSmartRecover: true", "enableSmartRecover"),
        ("dryRun: 1", "dryRun"),
        ("maxRecoveryAttempts: -1", "maxRecoveryAttempts"),
        ("maxRecoveryAttempts: true", "maxRecoveryAttempts"),
        ("disabledRecoveryActions: [reboot]", "reboot"),
        ("backOff: soon", "backOff"),
        ("[]", "mapping"),
        ("a: [", "recover.yaml"),
        (STRATEGIES.replace("ml.example\n", "apps\n"), "apps"),
        (STRATEGIES.replace("ml.example\n", "batch.k8s.io\n"), "batch.k8s.io"),
        (STRATEGIES.replace("/spec/strategy", "/metadata/labels/a"), "/spec/"),
        (STRATEGIES.replace("path: /spec/strategy, value: tekton", "path: /spec/template/x, value: a"), "template"),
        (STRATEGIES.replace("path: /spec/strategy, value: tekton", "path: /spec/a, value: {command: [sh]}"), "never"),
        (STRATEGIES.replace("path: /spec/strategy, value: tekton", "path: /spec/securityContext, value: a"), "never"),
        (STRATEGIES.replace("    - {op: test, path: /spec/strategy, value: s2i}\n", ""), "test"),
    ],
)
def test_a_mistake_in_the_file_is_an_error_that_names_it(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        of_file(tmp_path, text)


VALUE = "path: /spec/strategy, value: tekton"


@pytest.mark.parametrize("value", ["2020-01-01", "2020-01-01T10:00:00Z", "2001-12-14t21:59:43.10-05:00"])
def test_a_date_without_quotation_marks_is_a_text_as_in_json(tmp_path: Path, value: str) -> None:
    text = STRATEGIES.replace("value: s2i", f"value: {value}").replace("value: tekton", f"value: {value}")
    (strategy,) = of_file(tmp_path, text).strategies
    assert [one["value"] for one in strategy.entries[1].patch] == [value, value]


@pytest.mark.parametrize(
    "value",
    [
        "!!bool maybe",
        '!!int ""',
        "!!timestamp x",
        "!!float x",
        "!!int x",
        "!!binary é",
        "&a {<<: *a}",
        "0x" + "f" * 4000,
    ],
)
@pytest.mark.parametrize("key", ["dryRun", "maxRecoveryAttempts", "strategies", "1", "value"])
def test_a_value_that_does_not_fit_its_tag_is_an_error_in_the_file(tmp_path: Path, key: str, value: str) -> None:
    text = STRATEGIES.replace("value: tekton", f"value: {value}") if key == "value" else f"{key}: {value}"
    with pytest.raises(SettingsError, match=r"recover\.yaml: .+"):
        of_file(tmp_path, text)


@pytest.mark.parametrize(
    "value", ["!!binary AA==", "!!set {a}", "!!timestamp 2020-01-01", ".nan", ".inf", "{? [a] : b}", "&a [*a]"]
)
def test_a_value_of_a_patch_that_json_does_not_have_is_named(tmp_path: Path, value: str) -> None:
    """It could not be sent, or the API would refuse it each time."""
    with pytest.raises(SettingsError, match=r"replace /spec/strategy: the value can't be sent|a key must be"):
        of_file(tmp_path, STRATEGIES.replace("value: tekton", f"value: {value}"))


BOMB = "closedNamespaces:\n- &a0 [x]\n" + "\n".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))


@pytest.mark.parametrize(
    "text",
    [
        f"{BOMB}\ndryRun: *a11",
        BOMB,
        f"{BOMB}\nstrategies: [*a11]",
        f"{BOMB}\nbackOff: *a11",
        f"{BOMB}\ndisabledRecoveryActions: [*a11]",
        f"{BOMB}\nmaxRecoveryAttempts: *a11",
        f"{BOMB}\n? *a11\n: b",
        f"{BOMB}{STRATEGIES.replace('value: tekton', 'value: *a11')}",
        f"{BOMB}{STRATEGIES.replace('version: v1', 'version: *a11')}",
    ],
)
def test_aliases_that_would_be_endless_are_an_error_and_soon(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError):
        of_file(tmp_path, text)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}', '{"dryRun": "no"}', "[" * 4000, "{" + " " * 5000 + "}"])
def test_an_annotation_that_is_no_policy_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_policy(text)


def test_an_annotation_has_the_same_names() -> None:
    text = json.dumps({"maxRecoveryAttempts": 1, "disabledRecoveryActions": ["image", "retry"], "dryRun": False})
    assert parse_policy(text) == Policy(most_attempts=1, disabled=frozenset({Action.IMAGE, Action.RETRY}))


@given(POLICIES, POLICIES)
def test_the_narrower_policy_never_widens_the_wider_one(wide: Policy, narrow: Policy) -> None:
    both = wide.narrowed(narrow)
    for one in (wide, narrow):
        assert all(one.allows(action) for action in Action if both.allows(action))
        assert one.most_attempts is None or (both.most_attempts is not None and both.most_attempts <= one.most_attempts)
        assert both.dry_run or not one.dry_run


@given(POLICIES, POLICIES)
def test_the_order_of_the_levels_makes_no_difference(one: Policy, other: Policy) -> None:
    assert one.narrowed(other) == other.narrowed(one)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dryRun: true\nmaxRecoveryAttempts: 3\ndryRun: false\n", "dryRun is given twice"),
        ("#" * (1 << 20) + "\ndryRun: false\n", "longer than 1048576 bytes"),
        ("backOff: 1h\n", "maxBackOff (600 s) is less than backOff (3600 s)"),
        ("strategies:\n- {group: a.b, group: c.d}\n", "group is given twice"),
    ],
)
def test_a_file_that_could_be_meant_otherwise_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        of_file(tmp_path, text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"dryRun": true, "dryRun": false}', "dryRun is given twice"),
        ("dryRun: true", "it is no JSON: Expecting value"),
    ],
)
def test_an_annotation_that_could_be_meant_otherwise_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_policy(text)
