"""Which process was killed, in words: safe to print, bounded, and never in another sentence's place."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.model import OomKill, SeenProcess
from agent.wording import kills as wording
from agent.wording.kill_record import kill_fields
from agent.wording.processes import ancestry, seen_text, without_arguments
from agent.wording.text import NOTE_BYTES
from tests.unit.profiles import examples
from tests.unit.wording.kills import CASES, KILL
from tests.unit.wording.test_kills import harmless

WORKER = SeenProcess(
    4312, "python3", "python -m celery worker -Q images", ("celery", "tini"), ("", "tini -- celery"), 180 << 20
)
OTHER = SeenProcess(4313, "sh", "sh -c x", ("tini",), ("",), 9)
SEEN = replace(KILL, seen=(WORKER, OTHER))
ODD = st.text(max_size=300)
PROCESSES = st.builds(
    SeenProcess,
    pid=st.sampled_from([4312, 1]),
    comm=ODD,
    command=ODD,
    parents=st.lists(ODD, max_size=6).map(tuple),
    parent_commands=st.lists(ODD, max_size=6).map(tuple),
    rss_bytes=st.none() | st.integers(0, 2**50),
)


def test_a_process_is_shown_with_its_parents() -> None:
    assert ancestry(WORKER) == "python -m celery worker -Q images ← celery ← tini -- celery"


def test_the_log_line_ends_with_it() -> None:
    assert wording.kill_line(SEEN) == f"{wording.kill_line(KILL)}; {ancestry(WORKER)}"
    assert kill_fields(SEEN)["seen"][0]["command"] == WORKER.command  # type: ignore[index]


def test_without_arguments_names_are_left() -> None:
    bare = without_arguments(SEEN)
    assert seen_text(bare) == "python3 ← celery ← tini"
    assert kill_fields(bare)["seen"][0]["command"] == ""  # type: ignore[index]
    assert "images" not in repr(bare)


def test_a_victim_that_was_not_seen_has_the_largest_process_of_its_container() -> None:
    kill = replace(KILL, seen=(OTHER,))
    assert seen_text(kill) == "not seen before it was killed; in the container: sh -c x ← tini"


def test_a_name_alone_says_nothing_new() -> None:
    assert seen_text(replace(KILL, seen=(SeenProcess(4312, "python3"),))) == ""
    assert seen_text(KILL) == ""


@given(st.sampled_from(list(CASES.values())), st.lists(PROCESSES, max_size=4).map(tuple))
@examples(200)
def test_it_takes_no_other_sentences_room_and_can_do_no_harm(kill: OomKill, seen: tuple[SeenProcess, ...]) -> None:
    limits = {"herder": 256 << 20}
    without = wording.kill_note(kill, container_limits=limits)
    note = wording.kill_note(replace(kill, seen=seen), container_limits=limits)
    assert note.startswith(without)
    assert len(note.encode()) <= NOTE_BYTES
    assert harmless(note)
    assert harmless(wording.kill_line(replace(kill, seen=seen)))
