"""The protocol: what one side writes the other reads, and what it can't use it refuses with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.serve import protocol
from agent.serve.protocol import FailedError, RefusedError, read_answer, read_request, request_line
from agent.wording.view import Shown

DOCUMENT = {"containers": [{"pod": "a", "kills": None}]}
VIEW = {"columns": [], "rows": [], "nothing": "No containers of pods."}


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def test_a_request_is_read_as_it_was_written() -> None:
    written = request_line("history", {"limit": 5, "pod": "caf\u00e9"}, document=True)
    assert read_request(written) == ("history", {"limit": 5, "pod": "caf\u00e9"}, True)
    assert written.isascii()


@pytest.mark.parametrize("document", [True, False])
def test_an_answer_has_only_the_form_that_was_asked_for(document: bool) -> None:
    read = read_answer(protocol.answer_line(Shown(DOCUMENT, VIEW, ["no ledger"]), document=document))
    assert (read.document, read.view) == ((DOCUMENT, None) if document else (None, VIEW))
    assert read.troubles == ["no ledger"]


@pytest.mark.parametrize("version", [0, 2, 1.0, True, "1", None])
def test_a_version_that_the_peer_does_not_know_is_refused_with_a_sentence(version: object) -> None:
    with pytest.raises(RefusedError, match=r"the request does not have version 1 of the protocol: use the oomward of"):
        read_request(line(oomward=version, command="ps", arguments={}, output="json"))
    with pytest.raises(RefusedError, match=r"the answer does not have version 1 of the protocol: use the oomward of"):
        read_answer(line(oomward=version, document=DOCUMENT, view=None, troubles=[]))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (b"ps\n", "not JSON"),
        (b"[" * 5000 + b"\n", "not JSON"),
        (b"[1]\n", "not a JSON object"),
        (b'{"oomward": 1', "not complete"),
        (line(oomward=1, command="run", arguments={}, output="json"), "does not know the command"),
        (line(oomward=1, command="ps", arguments=[], output="json"), "no arguments"),
        (line(oomward=1, command="ps", arguments={}, output="xml"), "no known output"),
    ],
)
def test_a_request_that_can_not_be_used_is_refused(request_: bytes, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        read_request(request_)


def test_a_refusal_and_a_failure_come_back_as_such() -> None:
    with pytest.raises(RefusedError, match="at most 1000 kills"):
        read_answer(protocol.refused_line("at most 1000 kills"))
    with pytest.raises(FailedError, match="no pod x"):
        read_answer(protocol.failed_line("no pod x"))


@pytest.mark.parametrize(
    "fields", [{}, {"document": 1, "troubles": []}, {"document": DOCUMENT}, {"view": VIEW, "troubles": ""}]
)
def test_an_answer_without_its_parts_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="not complete"):
        read_answer(line(oomward=1, **fields))


def test_an_answer_that_is_too_long_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_ANSWER_BYTES", 100)
    with pytest.raises(RefusedError, match="sends at most 100"):
        protocol.answer_line(Shown({"kills": ["x" * 100]}, None, []), document=True)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_else(garbage: bytes) -> None:
    for read in (read_request, read_answer):
        with pytest.raises(RefusedError):
            read(garbage + b"\n")
