"""The text of a kill: which process, which limit, the container's fate, how often, what to do."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import InvalidSetting, Mode, OnExceeded, OomKill, Outcome, Scope, Source, TaskRow, Tolerance, Victim
from agent.wording import kills as wording
from agent.wording import notes
from agent.wording.kill_record import kill_fields
from agent.wording.text import bytes_text, count, cut, safe, some
from tests.unit.wording.kills import CASES, KILL

GOLDEN = Path(__file__).with_name("notes.golden.txt")
ODD = st.text(max_size=400)
SIZES = st.none() | st.integers(0, 2**50)
VICTIMS = st.builds(Victim, pid=st.integers(1, 2**22), comm=ODD, anon_bytes=SIZES, file_bytes=SIZES, shmem_bytes=SIZES)
KILLS = st.builds(
    OomKill,
    boot_id=st.text(max_size=40),
    cgroup_inode=st.integers(0, 2**63),
    ordinal=st.integers(1, 10**6),
    at_unix_s=st.floats(0, 2e9),
    node=ODD,
    cgroup_path=ODD,
    processes=st.integers(1, 10**6),
    namespace=st.none() | ODD,
    pod=st.none() | ODD,
    container=st.none() | ODD,
    victims=st.lists(VICTIMS, max_size=30).map(tuple),
    mode=st.none() | st.sampled_from(Mode),
    group_kill=st.booleans(),
    scope=st.none() | st.sampled_from(Scope),
    limit_bytes=SIZES,
    usage_bytes=SIZES,
    largest=st.lists(
        st.builds(TaskRow, pid=st.integers(1, 9), comm=ODD, rss_bytes=st.integers(0, 2**50)), max_size=3
    ).map(tuple),
    outcome=st.none() | st.sampled_from(Outcome),
    details_missing=st.booleans(),
    sandbox=st.booleans(),
)


def harmless(text: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text)


def note(kill: OomKill) -> str:
    limits = {"herder": 256 << 20, "sidecar": None} if kill.pod is not None else None
    return wording.kill_note(kill, container_limits=limits)


def test_the_notes_read_as_they_should() -> None:
    """The golden file has every case; rewrite it with OOMWARD_GOLDEN=write after reading the difference."""
    found = "".join(f"## {name}\n{note(kill)}\n{wording.kill_line(kill)}\n\n" for name, kill in CASES.items())
    if os.environ.get("OOMWARD_GOLDEN") == "write":
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_a_note_that_is_too_long_keeps_what_happened() -> None:
    """256 containers and names as long as they may be: cut in the middle, never at the front."""
    limits: dict[str, int | None] = {f"{i:03d}-{'c' * 59}": 1 << 30 for i in range(256)}
    long = replace(KILL, container="c" * 63, largest=tuple(TaskRow(i, "x" * 15, 1 << 20) for i in range(3)))
    found = wording.kill_note(long, container_limits=limits)
    assert len(found.encode()) <= 1024
    assert found.startswith(f"OOM-killed worker (PID 4312, 180.2 MiB) in container {'c' * 63} at")
    assert "The container is still running" in found


@given(KILLS, st.none() | st.dictionaries(ODD, SIZES, max_size=20))
def test_no_kill_makes_a_note_that_is_too_long_or_could_do_harm(
    kill: OomKill, limits: dict[str, int | None] | None
) -> None:
    note = wording.kill_note(kill, container_limits=limits)
    assert 0 < len(note.encode()) <= 1024
    assert harmless(note)
    assert harmless(wording.kill_line(kill))


@given(st.text(max_size=300), st.integers(1, 100))
def test_safe_text_is_harmless_and_short(text: str, limit: int) -> None:
    found = safe(text, limit)
    assert len(found) <= limit
    assert harmless(found)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\u00e9 \u65e5\u672c", "caf\u00e9 \u65e5\u672c"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\r\nb", "a\\x0d\\x0ab"),
        ("a\u2028b", "a\\u2028b"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("ad\u200bmin", "ad\\u200bmin"),
        ("ad\ufe0fmin", "ad\\ufe0fmin"),
        ("x\u3164y", "x\\u3164y"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("half\ud800", "half\\ud800"),
    ],
)
def test_what_can_not_be_seen_or_would_move_the_cursor_is_shown_by_its_number(text: str, shown: str) -> None:
    assert safe(text) == shown


@pytest.mark.parametrize("scope", [Scope.CONTAINER, Scope.POD, Scope.KUBEPODS])
def test_a_limit_of_unknown_value_is_called_that(scope: Scope) -> None:
    assert "(value unknown)" in note(replace(KILL, scope=scope, limit_bytes=None, container="another"))


def test_a_diagnosis_advice_is_a_sentence_among_the_others() -> None:
    advice = "raise the limit from 256Mi: 1 kill in an hour"
    found = wording.kill_note(KILL, container_limits={"herder": 256 << 20}, advice=advice)
    assert "herder 1.2 MiB. Raise the limit from 256Mi: 1 kill in an hour. Memory limits of" in found


def test_the_limit_of_a_container_that_is_gone_is_what_its_pod_asks_for() -> None:
    """The cgroup was removed before it could be read; the note still has the pod's limits."""
    gone = replace(KILL, scope=Scope.CONTAINER, limit_bytes=None, usage_bytes=None)
    assert "at the container's memory limit of 256 MiB." in note(gone)
    assert "(value unknown)" in note(replace(gone, container="another"))


def test_a_kill_without_victims_says_that_they_are_not_known() -> None:
    assert "The process is not known" in note(replace(KILL, victims=(), details_missing=False))


def test_a_text_that_is_cut_keeps_its_beginning_and_its_end() -> None:
    found = cut("the beginning " + "x" * 200 + " the end", 60)
    assert found.startswith("the beginning")
    assert found.endswith("the end")
    assert len(found) == 60


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        ((1 << 20) - 1, "1 MiB"),
        (188953395, "180.2 MiB"),
        (256 << 20, "256 MiB"),
        (3 << 30, "3 GiB"),
        (5 << 40, "5 TiB"),
    ],
)
def test_sizes_are_read_as_people_write_them(size: int, text: str) -> None:
    assert bytes_text(size) == text


def test_numbers_and_lists_of_names_are_read_as_people_write_them() -> None:
    assert [count(n, "process") for n in (0, 1, 2)] == ["0 processes", "1 process", "2 processes"]
    assert count(3, "cgroup") == "3 cgroups"
    assert [count(n, "watch") for n in (1, 2)] == ["1 watch", "2 watches"]


@pytest.mark.parametrize(
    ("kills", "text"), [(1, "1 process of container app was"), (5, "5 processes of container app were")]
)
def test_a_tolerance_of_any_number_of_kills_is_a_sentence(kills: int, text: str) -> None:
    found = notes.tolerance_exceeded_note("app", Tolerance(kills, 600.0, OnExceeded.ARM, said_by="rule a"))
    assert found.startswith(f"More than {text} OOM-killed within 10m:")
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_notes_about_modes_name_the_value_the_place_and_what_to_do() -> None:
    invalid = notes.mode_invalid_note(
        InvalidSetting(Source.LABEL, "oomward.dev/mode", "sin\ngle", None, "is not a mode")
    )
    assert "oomward.dev/mode" in invalid
    assert "sin\\ngle" in invalid
    assert "single" in invalid
    assert "group" in invalid
    assert "permission denied" in notes.mode_failed_note("kubepods/x", "permission denied")
    assert "cgroup v2" in notes.group_on_v1_note("main")
    assert "once per second" in notes.conflict_note("kubepods/x")
    assert "kubepods/x" in notes.ancestor_note("kubepods/x")
    assert "ends only the process the kernel picks" in notes.mode_applied_note("main", Mode.SINGLE, "label")


@given(st.builds(InvalidSetting, st.sampled_from(Source), ODD, ODD, st.none() | ODD, ODD), ODD, ODD)
def test_no_label_path_or_reason_makes_a_note_that_is_too_long_or_could_do_harm(
    wish: InvalidSetting, path: str, why: str
) -> None:
    made = [
        notes.mode_invalid_note(wish),
        notes.mode_failed_note(path, why),
        notes.mode_applied_note(path, Mode.GROUP, why),
        notes.group_on_v1_note(path),
        notes.conflict_note(path),
        notes.ancestor_note(path),
        notes.tolerance_exceeded_note(path, Tolerance(5, 600.0, OnExceeded.RESTART, said_by=why)),
        notes.killed_as_a_whole_note(path, None, why),
    ]
    assert all(0 < len(found.encode()) <= 1024 and harmless(found) for found in made)


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (
            InvalidSetting(Source.ANNOTATION, "oomward.dev/tolerate", "5", None, "'5' is no tolerance: write 5/10m"),
            "Annotation oomward.dev/tolerate has the invalid value '5': '5' is no tolerance: write "
            "5/10m. Until it is corrected, any number of kills is tolerated in containers without an annotation of their own.",
        ),
        (
            InvalidSetting(Source.LABEL, "k", "on", None, "is not a mode"),
            "Label k has the value 'on', which is not a mode.",
        ),
        (
            InvalidSetting(Source.ANNOTATION, "k/x", "group", "x", "the pod has no container of that name"),
            "Annotation k/x has the value 'group': the pod has no container of that name.",
        ),
        (
            InvalidSetting(Source.ANNOTATION, "k/…", "", None, "and 7 more annotations like these"),
            "Annotation k/…: and 7 more annotations like these.",
        ),
    ],
)
def test_an_invalid_label_or_annotation_is_reported_in_a_sentence(wish: InvalidSetting, text: str) -> None:
    assert notes.mode_invalid_note(wish).startswith(text)


def test_every_field_of_a_kill_is_in_its_log_line() -> None:
    fields = kill_fields(KILL)
    said = {
        "processes_killed": KILL.processes,
        "limit_bytes": 256 << 20,
        "outcome": "survived",
        "scope": "container",
    }
    assert said.items() <= fields.items()
    in_kill_id, renamed = {"boot_id", "cgroup_inode", "ordinal"}, {"processes", "use", "containers"}
    of_this_boot = {"at_monotonic_s"}
    assert {name for name in OomKill.__slots__ if name not in fields} == in_kill_id | renamed | of_this_boot
    assert fields["victims"][0]["comm"] == "worker"  # type: ignore[index]
    assert fields["kill_id"] == "boot-7-1"
    assert kill_fields(replace(KILL, victims=()))["victims"] == ()


def test_a_note_is_cut_by_bytes_as_the_api_counts_them_and_in_the_middle() -> None:
    wish = InvalidSetting(Source.LABEL, "k" * 190, "ü" * 2000, None, "ö" * 400)
    note = notes.mode_invalid_note(replace(wish, key="日本" * 90))
    assert len(note) < len(note.encode()) <= 1024
    assert note.endswith("group (an OOM kill ends the whole container).")


def test_a_container_that_the_agent_ended_is_not_said_to_have_lost_its_pid_1() -> None:
    found = wording.kill_note(KILL, container_limits=None, ended_by_agent=True)
    assert "The container survived it; then the agent ended the container, because its tolerance was exceeded." in found
    assert "PID 1" not in found
    assert "still running" not in found


def test_a_container_without_a_limit_that_took_the_nodes_memory_is_advised_to_set_one() -> None:
    kill = replace(KILL, scope=Scope.NODE, limit_bytes=None)
    for advice in (None, "run less on the node"):
        found = wording.kill_note(kill, container_limits={"herder": None}, advice=advice)
        assert wording.NO_LIMIT in found
        assert wording.NOT_ITS_FAULT not in found
    assert wording.NOT_ITS_FAULT in wording.kill_note(kill, container_limits={"herder": 5})


def test_processes_that_are_listed_are_said_to_be_of_the_limit_that_was_hit() -> None:
    for scope, whose in {Scope.POD: " of the pod", Scope.NODE: " of the node", Scope.CONTAINER: ""}.items():
        assert f"Largest processes{whose}: worker" in wording.kill_note(
            replace(KILL, scope=scope), container_limits=None
        )


EXCLUSIVE = (  # of each row a note has at most one
    ("still running", "The container died", "survived is not known", "The container survived it; then the agent ended"),
    (
        wording.NOT_ITS_FAULT,
        wording.NO_LIMIT,
        "Raise the container's limit",
        "Raise the pod's limit",
        "Which limit was hit",
    ),
    ("The process is not known", "Largest processes"),
    ("pod's sandbox", "in container "),
    ("pod's sandbox", "The container "),
    ("With label oomward.dev/mode=single", "(mode single)"),
)


@given(
    st.sampled_from(list(CASES.values())),
    st.none() | st.sampled_from(Outcome),
    st.booleans(),
    st.booleans(),
    st.sampled_from([256 << 20, None]),
)
def test_no_sentence_of_a_note_contradicts_another(
    kill: OomKill, outcome: Outcome | None, ended_by_agent: bool, sandbox: bool, limit: int | None
) -> None:
    sandbox = sandbox and not kill.group_kill and kill.pod is not None
    kill = replace(kill, outcome=outcome, sandbox=sandbox, container=None if sandbox else kill.container)
    found = wording.kill_note(kill, container_limits={"herder": limit}, ended_by_agent=ended_by_agent)
    for row in EXCLUSIVE:
        assert sum(text in found for text in row) <= 1, (row, found)
    assert not re.search(r"in the last|in an hour|so far|only kill|notice", found), "the count of the Event rises"
    if sandbox:
        assert "container survived" not in wording.kill_line(kill)
        assert "container died" not in wording.kill_line(kill)
