"""Records as dicts: what dataclasses.asdict makes of them."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from agent.model import Notice, ObjectRef, OomKill, Reason, plain
from agent.wording.kill_record import kill_record
from tests.unit.wording.kills import CASES


@pytest.mark.parametrize("kill", CASES.values(), ids=CASES)
def test_a_kill_and_its_record_are_the_dicts_that_asdict_makes(kill: OomKill) -> None:
    assert plain(kill) == asdict(kill)
    assert plain(kill_record(kill)) == asdict(kill_record(kill))


def test_an_event_is_the_dict_that_asdict_makes() -> None:
    notice = Notice("a", ObjectRef("Pod", "b", "c", "d"), Reason.MODE_FAILED, True, "Hold", "note", 5.0)
    assert plain(notice) == asdict(notice)
