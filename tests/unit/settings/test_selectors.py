"""Selectors as the API reads them; the cases are those of k8s.io/apimachinery's own syntax."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import Operator, Requirement
from agent.settings.selectors import from_structure, parse_selector

IN, NOT_IN, EXISTS, ABSENT = Operator.IN, Operator.NOT_IN, Operator.EXISTS, Operator.DOES_NOT_EXIST


def req(key: str, operator: Operator, *values: str) -> Requirement:
    return Requirement(key, operator, frozenset(values))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" \t\n", ()),
        ("x", (req("x", EXISTS),)),
        ("\rx ", (req("x", EXISTS),)),
        ("!x", (req("x", ABSENT),)),
        ("! x", (req("x", ABSENT),)),
        ("x=a", (req("x", IN, "a"),)),
        ("x==a", (req("x", IN, "a"),)),
        ("x = a", (req("x", IN, "a"),)),
        ("x!=a", (req("x", NOT_IN, "a"),)),
        ("x=", (req("x", IN, ""),)),
        ("x=,y!=", (req("x", IN, ""), req("y", NOT_IN, ""))),
        ("x in (abc,def)", (req("x", IN, "abc", "def"),)),
        ("x  notin\n (abc)", (req("x", NOT_IN, "abc"),)),
        ("x in(a)", (req("x", IN, "a"),)),
        ("x in (abc,)", (req("x", IN, "abc", ""),)),
        ("x in ()", (req("x", IN, ""),)),
        ("x notin ( )", (req("x", NOT_IN, ""),)),
        ("x notin (, a)", (req("x", NOT_IN, "", "a"),)),
        (
            "x notin (abc,,def),bar,z in (),w",
            (req("x", NOT_IN, "abc", "", "def"), req("bar", EXISTS), req("z", IN, ""), req("w", EXISTS)),
        ),
        ("a in (x,y,notin, z,in)", (req("a", IN, "x", "y", "notin", "z", "in"),)),
        ("in in (in),notin=in,!in", (req("in", IN, "in"), req("notin", IN, "in"), req("in", ABSENT))),
        ("app.k8s.io/Name_1 in (so,what)", (req("app.k8s.io/Name_1", IN, "so", "what"),)),
        (
            "0.1.2.domain/99 notin (10.10.100.1, tick.tack.clock)",
            (req("0.1.2.domain/99", NOT_IN, "10.10.100.1", "tick.tack.clock"),),
        ),
    ],
)
def test_text_is_read_as_the_api_reads_it(text: str, expected: tuple[Requirement, ...]) -> None:
    assert parse_selector(text).requirements == expected


@pytest.mark.parametrize(
    ("text", "character"),
    [
        (",", 1), ("x,", 3), (",x", 1), ("x,,y", 3), ("x y", 3), ("x nott in (y)", 3), ("x in", 5), ("x in a", 6),
        ("x in (a", 8), ("x in (a b)", 9), ("a in (xyz)b notin ()", 11), ("a (", 3), ("(", 1), ("x>5", 2), ("x<5", 2),
        ("x=a=b", 4), ("x==a==b", 5), ("!x=a", 3), ("!", 2), ("!!x", 2), ("x=a b", 5), ("=a", 1), ("x=(a)", 3),
        ("-x", 1), ("x=a||y=b", 3), ("ok,x in (a,-b)", 12), ("y/", 1), ("/y", 1), ("a/b/c", 1), ("Up.per/x", 1),
        ("k" * 64, 1), ("x=" + "v" * 64, 3), ("x=ä", 3), ("x\xa0=a", 1), ("x\0", 1), ("d" * 254 + "/x", 1),
    ],
)  # fmt: skip
def test_what_the_api_refuses_is_refused_and_the_character_named(text: str, character: int) -> None:
    with pytest.raises(ValueError, match=f"^character {character} of selector "):
        parse_selector(text)


def test_longest_names_and_values_are_accepted() -> None:
    key = "d" * 253 + "/" + "k" * 63
    assert parse_selector(f"{key}={'v' * 63}").requirements == (req(key, IN, "v" * 63),)


def test_a_structure_means_what_its_text_would() -> None:
    structure: dict[object, object] = {
        "matchLabels": {"app": "lab", "empty": ""},
        "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["db", "cache"]},
            {"key": "canary", "operator": "Exists"},
            {"key": "legacy", "operator": "DoesNotExist", "values": []},
        ],
    }
    assert from_structure(structure) == parse_selector("app=lab,empty=,tier notin (db,cache),canary,!legacy")


def test_an_empty_structure_selects_everything() -> None:
    assert from_structure({}).requirements == ()
    assert from_structure({"matchLabels": None, "matchExpressions": None}).requirements == ()


@pytest.mark.parametrize(
    ("structure", "complaint"),
    [
        ({"matchLabel": {}}, "unknown field 'matchLabel'"),
        ({"matchLabels": ["a"]}, "must be a mapping"),
        ({"matchExpressions": {"key": "a"}}, "must be a list"),
        ({"matchExpressions": ["a"]}, "needs key, operator"),
        ({"matchExpressions": [{"key": "a"}]}, "needs key, operator"),
        ({"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]}, "not one of In, NotIn, Exists"),
        ({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}, "not one of In, NotIn, Exists"),
        ({"matchExpressions": [{"key": "a", "operator": "In"}]}, "needs at least one value"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}, "takes no values"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": "b"}]}, "values must be a list"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"], "value": 1}]}, "unknown field 'value'"),
        ({"matchLabels": {"debug": True}}, "True is not a string: put it in quotes"),
        ({"matchLabels": {"version": 1.10}}, "put it in quotes"),
        ({"matchLabels": {"app": None}}, "put it in quotes"),
        ({"matchLabels": {"app": "no good"}}, "is not a valid label value"),
        ({"matchLabels": {"-app": "a"}}, "is not a valid label key"),
    ],
)
def test_a_bad_structure_is_refused_with_the_fix(structure: dict[object, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        from_structure(structure)


@given(st.text("ab=!,() \tin<>-/.", max_size=25) | st.text(max_size=15))
def test_any_text_is_a_selector_or_an_error_and_nothing_else(text: str) -> None:
    try:
        found = parse_selector(text)
    except ValueError:
        return
    assert all((r.operator in (IN, NOT_IN)) == bool(r.values) for r in found.requirements)


names = st.from_regex(r"[a-z0-9]([-a-z0-9_.]{0,5}[a-z0-9])?", fullmatch=True)
blanks = st.text(" \t\r\n", max_size=2)
written = st.one_of(
    st.builds(req, names, st.sampled_from([IN, NOT_IN]), st.just(""), names),
    st.builds(req, names, st.sampled_from([IN, NOT_IN]), names),
    st.builds(req, names, st.sampled_from([EXISTS, ABSENT])),
)


@given(st.lists(written, max_size=4), st.lists(blanks, min_size=40, max_size=40))
def test_what_is_written_out_is_read_back_whatever_blanks_are_between(want: list[Requirement], gaps: list[str]) -> None:
    gap = itertools.cycle(gaps)
    parts = []
    for r in want:
        values = ("," + next(gap)).join(sorted(r.values))
        if r.operator is EXISTS:
            parts.append(next(gap) + r.key)
        elif r.operator is ABSENT:
            parts.append(f"!{next(gap)}{r.key}")
        elif len(r.values) == 1:
            sign = "=" if r.operator is IN else "!="
            parts.append(f"{r.key}{next(gap)}{sign}{next(gap)}{values}")
        else:
            parts.append(f"{r.key} {next(gap)}{'in' if r.operator is IN else 'notin'}{next(gap)}({values}{next(gap)})")
    assert parse_selector(("," + next(gap)).join(parts) + next(gap)).requirements == tuple(want)
