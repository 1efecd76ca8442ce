"""The ledger's decisions by the rules of now: see also tests/unit/loop/test_node.py."""

from __future__ import annotations

from dataclasses import replace

from agent.model import KeptDecision, Mode, Rule, Rules, Source, Tolerance
from agent.modes.kept import MOST_LABELS, decided_again, labels_text

SINGLE = Rules((Rule("all", Mode.SINGLE, tolerance=Tolerance(5, 60.0, said_by="configured rule all")),))
KEPT = KeptDecision(
    "u", "u", "shop", "web-1", "main", "c", Mode.GROUP, "old", None, Source.RULE, labels_text({"a": "b"})
)


def test_a_rules_decision_is_made_again_with_its_tolerance() -> None:
    now = decided_again(KEPT, SINGLE)
    assert (now.mode, now.rule, now.tolerance) == (Mode.SINGLE, "all", SINGLE.rules[0].tolerance)
    assert decided_again(now, Rules()).mode is None


def test_an_annotation_keeps_its_mode_and_its_tolerance_unless_none_counts_there() -> None:
    tolerance = Tolerance(1, 60.0, said_by="annotation oomward.dev/tolerate")
    kept = replace(KEPT, source=Source.ANNOTATION, tolerance=tolerance)
    assert decided_again(kept, SINGLE) == kept
    ignored = decided_again(kept, replace(SINGLE, ignore_labels_in=("shop",)))
    assert (ignored.mode, ignored.tolerance) == (Mode.SINGLE, SINGLE.rules[0].tolerance)


def test_without_labels_or_from_an_older_ledger_the_decision_stays() -> None:
    assert labels_text({"a": "b" * MOST_LABELS}) is None
    for kept in (replace(KEPT, labels=None), replace(KEPT, source=Source.NONE)):
        assert decided_again(kept, SINGLE) == kept
