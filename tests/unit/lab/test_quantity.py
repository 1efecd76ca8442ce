"""Quantities as the API server has them: values, canonical form, and CEL's functions."""

from __future__ import annotations

import pytest

from agent.pods.parse import parse_quantity
from tests.lab.cel import CelError, untyped
from tests.lab.quantity import canonical, parse

WRONG = ("", "x", "200K", "1,3G", "1 ", " 1", "Three", "1.1.M", "1+1.0M", "0.1mi", "0.1am", "10Mo", "1Gi1")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1.5Gi", "1536Mi"),
        ("1.5", "1500m"),
        ("0.5Gi", "512Mi"),
        ("1024Mi", "1Gi"),
        ("1024Gi", "1Ti"),
        ("262144Ki", "256Mi"),
        ("1000000000", "1G"),
        ("1500M", "1500M"),
        ("1000M", "1G"),
        ("268435456", "268435456"),
        ("12e6", "12e6"),
        ("512", "512"),
        ("0.5Ki", "512"),
        ("-1024Mi", "-1Gi"),
        ("0Gi", "0"),
        ("100m", "100m"),
    ],
)
def test_the_canonical_form_has_the_largest_suffix_without_a_fraction(text: str, same: str) -> None:
    assert canonical(text) == same
    assert canonical(same) == same
    assert parse(same) == parse(text)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_quantity_is_refused_by_all_three(text: str) -> None:
    with pytest.raises(ValueError, match="quantit"):
        parse(text)
    with pytest.raises(ValueError, match=r"."):
        parse_quantity(text)
    assert untyped("object").compile("isQuantity(object)")({"object": text}) is False
    with pytest.raises(CelError, match="resulted in error"):
        untyped("object").compile("quantity(object).isGreaterThan(quantity('0'))")({"object": text})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("quantity('200M').compareTo(quantity('0.2G'))", 0),
        ("quantity('50M').compareTo(quantity('50Mi'))", -1),
        ("quantity('50Mi').compareTo(quantity('50M'))", 1),
        ("quantity('150Mi').isGreaterThan(quantity('100Mi'))", True),
        ("quantity('50Mi').isGreaterThan(quantity('100Mi'))", False),
        ("quantity('50M').isLessThan(quantity('100M'))", True),
        ("quantity('100M').isLessThan(quantity('50M'))", False),
    ],
)
def test_comparisons_are_those_of_kubernetes_documentation(text: str, result: object) -> None:
    """The examples in k8s.io/apiserver pkg/cel/library/quantity.go."""
    assert untyped().compile(text)({}) == result
