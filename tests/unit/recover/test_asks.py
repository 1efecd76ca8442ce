"""What annotations ask for, and what is refused; which containers can be changed; what the journal takes for a journal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.recover import IMAGES_ANNOTATION_PREFIX, Action, Policy
from agent.recover.asks import MIB, AskError, Grow, actions_asked, grow_asked, images_asked
from agent.recover.history import History, parse_history
from tests.unit.recover.pods import IMAGES, NOW, OPENED, REAL, killed, memory, no_image, past, pod, step, waiting, why

NAMES = IMAGES_ANNOTATION_PREFIX + "app"
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
    assert "no annotation recover.oomward.dev/images.app" in why(pod(state=waiting("ErrImagePull", "manifest unknown")))
    assert "no annotation recover.oomward.dev/images.app" in why(
        no_image(notes={"recover.oomward.dev/images.app": "", "recover.oomward.dev/images.x": "a/b:1"})
    )


def test_only_a_container_with_a_limit_that_asks_grows() -> None:
    assert "no annotation oomward.dev/grow" in why(killed(notes={}))
    assert "nothing here helps" in why(killed(container={}))  # it has no memory limit: the node's ended it
    assert step(killed(container=memory("268435456"))).attempt.after == "320Mi"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"last": 1, "attempts": {}}',
        '{"last": true, "attempts": []}',
        '{"last": -1, "attempts": []}',
        '{"last": 1e400, "attempts": []}',
        '{"last": ' + "9" * 4301 + ', "attempts": []}',
        '{"last": 0, "attempts": []}x',
        '{"last": "1", "attempts": []}',
        past(Action.RETRY, Action.RETRY).text.replace('"last":2', '"last":1'),
        past(Action.RETRY, Action.RETRY).text.replace('"number":2', '"number":1'),
    ],
)
def test_what_is_no_journal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_history(text)


ROWS = past(Action.RETRY, Action.RETRY, Action.RETRY)
SECOND = '"number":2,"owner":"shop/ReplicaSet/app"'
TIME = f'"at_unix_s":{NOW - 1400.0}'


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        *((TIME, f'"at_unix_s":{odd}', "at_unix_s is") for odd in ("9" * 401, "9" * 4301, "1e999", "NaN", "-Infinity")),
        *((TIME, f'"at_unix_s":{odd}', "at_unix_s is") for odd in ("true", "-1", "253402300800", '"1"', "null", "[]")),
        *((SECOND, f'{SECOND},"changed_unix_s":{odd}', "changed_unix_s is") for odd in ("9" * 401, "NaN", "true")),
        *((SECOND, f'{SECOND},"tries":{odd}', "tries is") for odd in ("9" * 401, "1.5", "true", "0", "1000000000")),
        *((SECOND, SECOND.replace("2", odd, 1), "number is") for odd in ("true", "2.0", '"2"', "1e999", "0")),
        (SECOND, f'{SECOND},"said":1', "said is 1"),
        (SECOND, f'{SECOND},"result":5', "result is 5"),
        (SECOND, '"number":2', "owner"),
    ],
)
def test_a_row_of_the_journal_that_cannot_be_read_is_left_out_and_said_and_the_others_stay(
    before: str, after: str, said: str
) -> None:
    """Somebody may edit or restore it. With a time that is none a step would never end, or the controller at each look."""
    rows = ROWS.text.split("},{")
    rows[1] = rows[1].replace(before, after)
    assert rows[1] != ROWS.text.split("},{")[1]
    troubles: list[str] = []
    found = parse_history("},{".join(rows), troubles)
    assert ([one.number for one in found.attempts], found.last) == ([1, 3], 3)
    (trouble,) = troubles
    assert trouble.startswith("row 2 ")
    assert said in trouble
    assert len(trouble) < 400


@pytest.mark.parametrize("row", ["1", "null", "[]", '"x"', "{}"])
def test_a_row_that_is_none_is_left_out_and_said(row: str) -> None:
    troubles: list[str] = []
    assert parse_history(f'{{"last": 1, "attempts": [{row}]}}', troubles) == History((), 1)
    assert len(troubles) == 1


@pytest.mark.parametrize(("before", "after"), [('"retry"', '"reboot"'), ('"state":"failed"', '"state":"paused"')])
def test_what_only_a_newer_version_knows_stops_everything(before: str, after: str) -> None:
    """Its attempts would count against no bound."""
    text = past(Action.RETRY).text
    assert before in text
    with pytest.raises(ValueError, match="newer oomward"):
        parse_history(text.replace(before, after), [])


def test_a_field_that_is_not_known_costs_no_attempt() -> None:
    text = past(Action.RETRY).text.replace('"number":1', '"number":1,"colour":["red"]')
    troubles: list[str] = []
    assert (parse_history(text, troubles), troubles) == (past(Action.RETRY), [])


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ({NAMES: ",".join(f"a.example/b:{i}" for i in range(11))}, "11 images, but at most 10 are tried"),
        ({NAMES: "a.example/b:1 c.example/d:1"}, "'a.example/b:1 c.example/d:1' is no image; images are separated"),
        ({NAMES: "a.example/b:1," + "x" * 9000}, "is longer than 8192 characters"),
        ({"recover.oomward.dev/policy": '{"backOff": "1s"}'}, "recover.oomward.dev/policy: backOff is not one of"),
        ({"recover.oomward.dev/policy": '{"maxRecoveryAttempts": 0}'}, "no attempt is allowed (maxRecoveryAttempts)"),
        ({"recover.oomward.dev/policy": '{"disabledRecoveryActions": ["image"]}'}, "image: disabled by a policy"),
        ({"oomward.dev/recover": "retry"}, "image: not asked for"),
    ],
)
def test_a_mistake_is_named_so_that_it_can_be_corrected(notes: dict[str, str], said: str) -> None:
    assert said in why(no_image(notes=notes))


def test_ten_images_with_long_names_are_all_read() -> None:
    names = [f"a.example/{'b' * 490}:{i}" for i in range(10)]
    tried = past(*[Action.IMAGE] * 9, pod_uid="uid-app-1", every=1000.0)
    attempts = tuple(replace(one, after=name) for one, name in zip(tried.attempts, names, strict=False))
    config = replace(REAL, policy=Policy(most_attempts=20))
    found = step(no_image(notes={NAMES: ", ".join(names)}), history=History(attempts, 9), config=config)
    assert found.attempt.after == names[9]


def test_a_mistake_in_the_namespaces_policy_is_not_said_to_be_the_pods() -> None:
    space = replace(OPENED, annotations={"recover.oomward.dev/policy": '{"maxRecoveryAttempts": "3"}'})
    assert "recover.oomward.dev/policy of namespace shop: maxRecoveryAttempts: '3' is not" in why(
        no_image(), space=space
    )


def test_what_is_not_done_says_about_which_failure_of_which_container() -> None:
    found = why(pod(state=waiting("ErrImagePull", "manifest unknown")))
    assert found.startswith("ErrImagePull (image not found), container app: image: ")
