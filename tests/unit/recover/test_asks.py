"""What annotations ask for, and what is refused; which containers can be changed; what the journal takes for a journal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.recover import Action
from agent.recover.asks import MIB, AskError, Grow, actions_asked, grow_asked, images_asked
from agent.recover.history import parse_history
from tests.unit.recover.pods import IMAGES, NOW, killed, memory, no_image, past, pod, step, waiting, why

UNCLEAR = waiting("ImagePullBackOff", "unexpected media type text/html")


@pytest.mark.parametrize(
    "text", ["25%", "25/4Gi", "0%/4Gi", "/4Gi", "25%/", "25%/0", "25%/-1Gi", "a/b", "-5Mi/4Gi", "1000%/4Gi", ""]
)
def test_what_is_no_step_and_maximum_is_refused(text: str) -> None:
    if text == "25/4Gi":  # 25 bytes: odd, but a quantity
        assert grow_asked({"oomward.dev/grow": text}, "app") == Grow(4 << 30, step_bytes=25)
    else:
        with pytest.raises(AskError, match=r"oomward\.dev/grow"):
            grow_asked({"oomward.dev/grow": text}, "app")


@given(st.integers(1, 1 << 45), st.integers(1, 1 << 45), st.integers(1, 999))
def test_growth_never_lowers_and_never_exceeds_its_maximum(limit: int, most: int, percent: int) -> None:
    after = Grow(most, percent=percent).after(limit)
    assert limit <= after <= max(limit, most)
    assert after in (limit, most) or after % MIB == 0


@given(st.text(max_size=40))
def test_any_text_is_a_list_of_actions_or_refused(text: str) -> None:
    try:
        assert actions_asked({"oomward.dev/recover": text}) <= set(Action)
    except AskError as error:
        assert str(error)


@pytest.mark.parametrize("text", ["a b", "-x", ",".join("abcdefghijk"), "a\nb", "$(x)", "UPPER/a"])
def test_what_are_no_images_is_refused(text: str) -> None:
    with pytest.raises(AskError):
        images_asked({"recover.oomward.dev/images.app": text}, "app")


def test_an_unclear_image_error_has_five_minutes_to_pass() -> None:
    assert "may pass by itself" in why(pod(state=UNCLEAR, notes=IMAGES, created=NOW - 299))
    assert step(pod(state=UNCLEAR, notes=IMAGES)).attempt.action is Action.IMAGE


def test_the_image_of_an_init_container_is_replaced_too() -> None:
    init = [{"name": "setup", "image": "first.example/setup:1"}]
    status: dict[str, Any] = {
        "name": "setup",
        "restartCount": 0,
        "ready": False,
        "state": waiting("ErrImagePull", "manifest unknown"),
    }
    notes = {"recover.oomward.dev/images.setup": "second.example/setup:1"}
    raw = pod(
        state=waiting("PodInitializing"),
        spec={"initContainers": init},
        status={"initContainerStatuses": [status]},
        notes=notes,
    )
    found = step(raw).attempt
    assert (found.container, found.before, found.after) == ("setup", "first.example/setup:1", "second.example/setup:1")


def test_a_pod_that_names_no_other_image_or_only_those_of_another_container_gets_none() -> None:
    assert "names no other images" in why(pod(state=waiting("ErrImagePull", "manifest unknown")))
    assert "names no other images" in why(
        no_image(notes={"recover.oomward.dev/images.app": "", "recover.oomward.dev/images.x": "a/b:1"})
    )


def test_only_a_container_with_a_limit_that_asks_grows() -> None:
    assert "asks for no growth" in why(killed(notes={}))
    assert "nothing here helps" in why(killed(container={}))  # it has no memory limit: the node's ended it
    assert step(killed(container=memory("268435456"))).attempt.after == "320Mi"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"last": 1, "attempts": [1]}',
        '{"last": 1, "attempts": [{"number": "x"}]}',
        '{"last": 0, "attempts": []}x',
        '{"last": "1", "attempts": []}',
        past(Action.RETRY, Action.RETRY).text.replace('"last":2', '"last":1'),
        past(Action.RETRY, Action.RETRY).text.replace('"number":2', '"number":1'),
        past(Action.RETRY).text.replace('"retry"', '"reboot"'),
        past(Action.RETRY).text.replace('"number":1', '"number":1,"colour":"red"'),
    ],
)
def test_what_is_no_journal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_history(text)
