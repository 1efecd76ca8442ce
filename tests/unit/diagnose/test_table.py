"""The decision table is sound: every rule can be reached and is, and no sentence asks for a word that may be missing."""

from __future__ import annotations

import re

import pytest

from agent.diagnose import TABLE
from agent.diagnose.case import OF_POD, At
from agent.diagnose.facts import EXIT_KNOWN, FAILED_END, OOM_OF_CHILD, OWN_SIGNAL, PROBED, SIGNALLED
from agent.diagnose.memory import quantity
from agent.diagnose.rule import Rule, names_in, signal_name
from tests.unit.diagnose.write_page import PAGE, examples, page, written

POD_WORDS = {"who", "pod", "namespace", "reason", "replace"}
OF_CONTAINER = POD_WORDS | {"container", "log", "restarts"}
PROMISED = {
    EXIT_KNOWN: {"exit_code"},
    OOM_OF_CHILD: {"exit_code"},
    SIGNALLED: {"signal"},
    OWN_SIGNAL: {"signal"},
    PROBED: {"signal", "exit_code"},
    FAILED_END: {"exit_code"},
}
UNCONDITIONAL = {At.PULL, At.PULL_BACK_OFF, At.CONFIG, At.CREATE, At.START, At.WAITING, At.CRASH, At.ENDED, At.CREATING,
                 At.SCHEDULING, At.RESIZE}  # fmt: skip
RULES = pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)


def sure_groups(rule: Rule) -> set[str]:
    """Named groups of a pattern that has neither alternatives nor optional parts."""
    top = _top(rule.says)
    return set() if "|" in top or ")?" in top else set(re.findall(r"\(\?P<(\w+)>", rule.says))


def _top(pattern: str) -> str:
    """What is in no parentheses."""
    kept, depth = "", 0
    for index, char in enumerate(pattern):
        escaped = index > 0 and pattern[index - 1] == "\\"
        depth += (char == "(" and not escaped) - (char == ")" and not escaped)
        kept += char if depth == 0 else ""
    return kept


@RULES
def test_the_last_sentence_asks_for_no_word_that_may_be_missing(rule: Rule) -> None:
    known = set(POD_WORDS if rule.at.keys() & set(OF_POD) else OF_CONTAINER)
    known |= {"kills"} if At.SANDBOX in rule.at else set()
    known |= sure_groups(rule) | {word for fact in rule.facts for word in PROMISED.get(fact, ())}
    for alternatives in (rule.what, rule.advice):
        assert names_in(alternatives[-1]) <= known


@RULES
def test_sentences_begin_small_and_end_without_a_stop(rule: Rule) -> None:
    for text in (*rule.what, *rule.advice):
        assert text == text.strip().rstrip(".")
        assert not text[0].isupper()
        assert "  " not in text


def test_names_are_there_once_and_are_words_with_hyphens() -> None:
    names = [rule.name for rule in TABLE]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


def test_every_rule_is_the_diagnosis_of_some_status() -> None:
    assert examples().keys() == {rule.name for rule in TABLE}


@RULES
def test_every_rule_says_where_its_words_come_from(rule: Rule) -> None:
    assert rule.source or rule.name in ("pod-failed",)


@pytest.mark.parametrize("place", sorted(UNCONDITIONAL))
def test_wherever_a_container_is_stuck_some_rule_always_matches(place: At) -> None:
    last = [rule for rule in TABLE if place in rule.at][-1]
    assert not last.reasons
    assert not last.says
    assert not last.facts


def test_the_page_has_the_table() -> None:
    """`python -m tests.unit.diagnose.write_page` writes it again."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == written(text)


def test_the_pages_cells_are_as_many_as_its_columns() -> None:
    rows = [line for line in page().splitlines() if line.startswith("|")]
    cells = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert set(cells) == {8, 7}
    assert cells.count(8) == len(TABLE) + 2 * page().count("\n## ")
    assert cells.count(7) == cells.count(8)


@pytest.mark.parametrize(
    ("size", "text"), [(256 << 20, "256Mi"), (int(180.2 * (1 << 20)), "180.2Mi"), (12, "12"), (None, None)]
)
def test_sizes_are_as_one_writes_them_into_a_manifest(size: int | None, text: str | None) -> None:
    assert quantity(size) == text


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (63, "signal 63"), (None, None)])
def test_signals_have_their_names(number: int | None, name: str | None) -> None:
    assert signal_name(number) == name
