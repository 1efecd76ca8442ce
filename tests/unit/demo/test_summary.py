"""The demo's texts fit a terminal of 80 columns and more, cut nothing, and explain their terms."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.demo import summary as texts
from tests.demo.facts import Result, Row, percent
from tests.demo.judge import failures
from tests.demo.pods import NAMES, PLAIN, WHAT
from tests.unit.demo.results import ROWS, result

STATUSES = ("Running", "OOMKilled", "CrashLoopBackOff", "Pending", "ContainerCreating", "RunContainerError")
HEADERS = ("POD", "STATUS", "UP", "RESTARTS", "OOM", "KILLS", "SURVIVED", "MODE")
rows = st.tuples(
    *(
        st.builds(
            Row,
            st.just(name),
            st.sampled_from(STATUSES),
            st.none() | st.floats(0, 300),
            st.floats(0, 1),
            st.integers(0, 999),
            st.integers(0, 99_999),
            st.integers(0, 99_999),
            st.sampled_from(("group", "single")),
        )
        for name in NAMES
    )
)


def everything(found: Result, width: int) -> str:
    """The demo's output as at that width, but for what is shown while it runs."""
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    texts.introduction(console)
    texts.listed(console, WHAT)
    texts.summary(console, found)
    texts.verdict(console, found, failures(found))
    return out.getvalue()


@given(st.integers(80, 200), rows)
def test_everything_fits_and_no_cell_and_no_header_is_cut(width: int, some: tuple[Row, ...]) -> None:
    text = everything(replace(result(), rows=some), width)
    assert max(map(len, text.splitlines())) <= width
    table = text[text.index("After ") : text.index("STATUS    as")]
    words = table.split()
    assert all(words.count(header) >= 1 for header in HEADERS)
    for row in some:
        wanted = [
            row.pod,
            *texts.status(row).split(),
            *percent(row.up).split(),
            str(row.restarts),
            str(row.survived),
            str(row.kills),
        ]
        assert [word for word in wanted if word not in words] == []
    assert "…" not in table


@pytest.mark.parametrize("width", [80, 120])
def test_the_words_of_every_event_are_there(width: int) -> None:
    words = " ".join(everything(result(), width).split())
    for event in result().events_of(PLAIN):
        assert event["note"] in words


@pytest.mark.parametrize("width", [80, 120])
def test_every_term_is_explained_and_none_of_the_labs_own_is_used(width: int) -> None:
    text = " ".join(everything(result(), width).split())
    assert text.index("out-of-memory (OOM)") < text.index("OOM kill ")
    for term in (
        "STATUS as",
        "UP the share",
        "SURVIVED how many",
        "MODE the OOM mode",
        "CrashLoopBackOff: the container",
    ):
        assert term in text
    assert 'OOM mode "group": an OOM kill ends every process' in text
    assert not {"herder", "herd", "hog"} & set(text.replace(",", " ").split())


def test_it_begins_with_two_sentences_and_ends_with_the_verdict() -> None:
    out = io.StringIO()
    texts.introduction(Console(file=out, width=80))
    assert out.getvalue().replace("\n", " ").count(". ") == 2
    last = everything(result(), 300).splitlines()[-1]
    assert last.startswith("PASS: without the label each of the 4 OOM kills took the whole container")


def test_each_failure_is_a_line_of_its_own_instead() -> None:
    out = io.StringIO()
    texts.verdict(Console(file=out, width=200), result(), ["one", "[two]"])
    assert out.getvalue().splitlines() == ["FAIL: one", "FAIL: [two]"]


@pytest.mark.parametrize(
    ("next_try_s", "text"),
    [
        (None, "CrashLoopBackOff"),
        (0.0, "CrashLoopBackOff,\nnext try now"),
        (31.2, "CrashLoopBackOff,\nnext try in 32 s"),
    ],
)
def test_a_container_that_waits_says_when_its_next_start_comes(next_try_s: float | None, text: str) -> None:
    assert texts.status(replace(ROWS[PLAIN], next_try_s=next_try_s)) == text


def test_killed_processes_that_the_kernel_counts_twice_are_explained() -> None:
    assert (
        "83 by the kernel's own counter, which counts the first process of a whole-container kill twice (4 here)."
        in texts.counts(result())
    )
    for counted in (83, 78, 84):  # none, more than there were such kills, fewer than none
        assert texts.counts(result(counted=counted)).endswith("83 by the kernel's own counter.")


def test_a_metric_that_is_too_long_goes_on_after_a_comma_and_is_otherwise_as_it_was() -> None:
    (line,) = result().metrics
    parts = texts.sample(line, 80)
    assert max(map(len, parts)) <= 80
    assert "".join(part.strip(" ") if i else part for i, part in enumerate(parts)) == line
    assert texts.sample(line, 200) == [line]
