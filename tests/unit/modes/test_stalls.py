"""What a pod asks for where a container is at its limit, by annotation and by rule."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import OnStall, Pod, PressureRequest, Rule, Rules, StallPolicy
from agent.modes.stalls import invalid_stalls, pressure_request
from agent.wording.notes import mode_invalid_note
from tests.unit.loop.world import pod
from tests.unit.profiles import examples

ON_STALL, AFTER, EVENTS = "oomward.dev/on-stall", "oomward.dev/stall-after", "oomward.dev/pressure-events"
BY_RULE = StallPolicy(OnStall.GROUP, 90.0, "configured rule all")
RULES = Rules((Rule("all", None, stall=BY_RULE),))


def asked(annotations: dict[str, str], rules: Rules = RULES) -> PressureRequest:
    return pressure_request(pod(annotations=annotations), "main", rules)


def test_the_containers_annotation_goes_before_the_pods_and_that_before_a_rule() -> None:
    assert asked({}).stall == BY_RULE
    assert asked({ON_STALL: "kill-largest"}).stall == StallPolicy(OnStall.KILL_LARGEST, 60.0, f"annotation {ON_STALL}")
    own = asked({ON_STALL: "group", "on-stall.oomward.dev/main": "kill-largest", AFTER: "2m"}).stall
    assert own == StallPolicy(OnStall.KILL_LARGEST, 120.0, "annotation on-stall.oomward.dev/main")


def test_off_is_off_also_where_a_rule_asks_for_more() -> None:
    assert asked({ON_STALL: "off"}).stall is None


@pytest.mark.parametrize(
    "annotations", [{ON_STALL: "kill"}, {ON_STALL: "group", AFTER: "soon"}, {ON_STALL: "group", AFTER: "1s"}]
)
def test_an_invalid_value_asks_for_nothing_and_is_reported(annotations: dict[str, str]) -> None:
    assert asked(annotations).stall is None
    (bad,) = invalid_stalls(pod(annotations=annotations), RULES)
    assert "nothing is done about a stall" in mode_invalid_note(bad)


def test_an_annotation_for_no_container_is_reported_and_harms_no_other() -> None:
    annotations = {"on-stall.oomward.dev/mian": "group", "pressure-events.oomward.dev/mian": "true"}
    assert asked(annotations) == PressureRequest(None, BY_RULE)
    assert [bad.unknown_container for bad in invalid_stalls(pod(annotations=annotations), RULES)] == [True, True]


def test_where_labels_are_ignored_only_rules_count() -> None:
    rules = Rules(RULES.rules, ("default",))
    annotations = {ON_STALL: "kill-largest", EVENTS: "true"}
    assert asked(annotations, rules) == PressureRequest(None, BY_RULE)
    assert invalid_stalls(pod(annotations={ON_STALL: "?"}), rules) == ()


@examples(200)
@given(st.dictionaries(st.sampled_from([ON_STALL, AFTER, EVENTS, "on-stall.oomward.dev/main"]), st.text(max_size=20)))
def test_any_text_is_borne(annotations: dict[str, str]) -> None:
    one = Pod("u", "default", "p", "n", annotations=MappingProxyType(annotations))
    assert isinstance(pressure_request(one, "main", RULES), PressureRequest)
    for bad in invalid_stalls(one, RULES):
        assert len(mode_invalid_note(bad).encode()) <= 1024
