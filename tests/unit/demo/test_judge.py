"""The demo says PASS only of what it promised."""

from __future__ import annotations

import pytest

from tests.demo.facts import Result
from tests.demo.judge import failures, proved
from tests.demo.pods import ANNOTATED, LABELLED, PLAIN
from tests.unit.demo.results import EVENTS, result, with_row


def test_what_was_promised_has_no_failure_and_is_said_in_a_sentence() -> None:
    assert failures(result()) == []
    assert proved(result()) == (
        "without the label each of the 4 OOM kills took the whole container (3 restarts); with label or annotation only the process "
        "that the kernel picked died (71 kills, 0 restarts), and oomward counted every kill."
    )
    assert "(1 restart);" in proved(with_row(PLAIN, restarts=1))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (with_row(PLAIN, restarts=0), "without-label was not restarted"),
        (with_row(PLAIN, survived=1), "without-label survived 1 of 4 OOM kills"),
        (with_row(PLAIN, kills=0), "without-label survived 0 of 0 OOM kills"),
        (with_row(PLAIN, mode="single"), "without-label has the OOM mode single, not group"),
        (with_row(LABELLED, restarts=1), "restarted 1 times, not 100 % and 0"),
        (with_row(LABELLED, up=0.999), "with-label was up 99 % of the time"),
        (with_row(LABELLED, kills=0, survived=0), "with-label survived 0 of 0 OOM kills"),
        (with_row(ANNOTATED, survived=34), "with-annotation survived 34 of 35 OOM kills"),
        (with_row(ANNOTATED, mode="group"), "with-annotation has the OOM mode group, not single"),
        (result(counted=78), "the kernel counted 83 killed processes, of which 4 may be counted twice, and oomward's metrics 78"),
        (result(counted=84), "oomward's metrics 84"),
        (result(unattributed=1), "the containers of 1 killed processes"),
        (result(events=EVENTS[1:]), "without-label has no Event ContainerOOMKilled"),
        (result(events=EVENTS[:-1]), "with-annotation has no Event ProcessOOMKilled"),
    ],
)  # fmt: skip
def test_whatever_is_not_as_promised_is_the_one_failure(found: Result, words: str) -> None:
    (failure,) = failures(found)
    assert words in failure
