"""Output of ``diagnose``, and of ``explain`` for a failing pod. A Diagnosis has text that is safe already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TextIO

from rich.text import Text

from agent.commands.output.table import Column, Line, Listing, Output, print_sections
from agent.model.diagnosis import Answer, Category, Diagnosis, Will

STYLES = {Answer.YES: "green", Answer.PERHAPS: "", Answer.NO: "red"}
HELPS = {Answer.YES: "can help", Answer.PERHAPS: "may help", Answer.NO: "does not help"}
TRANSIENT = {Answer.YES: "transient", Answer.PERHAPS: "perhaps transient", Answer.NO: "not transient"}
WILL = {Will.RUNS: "let it run", Will.NOTHING: "do nothing"}  # the other values are verbs
LESS_SEVERE = (Category.NOT_READY, Category.NOT_STARTING, Category.PREEMPTED, Category.NODE_SHUTDOWN)


def show_diagnoses(rows: Sequence[Diagnosis], nothing: str, output: Output, file: TextIO) -> None:
    """A row per diagnosis; ``nothing`` is printed if there are none."""
    Listing("diagnoses", COLUMNS, asdict, nothing).show(rows, output, file)


def show_pod_diagnoses(rows: Sequence[Diagnosis], nothing: str, output: Output, file: TextIO) -> None:
    """A section per diagnosis of one pod."""
    if output is Output.JSON or not rows:
        show_diagnoses(rows, nothing, output, file)
    else:
        print_sections(diagnosis_sections(rows), file)


def diagnosis_sections(rows: Sequence[Diagnosis]) -> Iterator[tuple[str, Iterator[Line]]]:
    """Title and named lines of each section."""
    for row in rows:
        kind = f" ({row.kind.value})" if row.kind is not None else ""
        of = f"pod {row.namespace}/{row.pod}" if row.container is None else f"container {row.container}{kind}"
        yield f"Diagnosis of {of}", _lines(row)


def _lines(row: Diagnosis) -> Iterator[Line]:
    yield "Category", _category(row).append(f" ({row.rule})", style="dim")
    yield "What", Text(row.what)
    if row.message:
        yield "Message", Text(row.message)
    helps = HELPS[row.retry_helps]
    yield "Outlook", Text(f"{TRANSIENT[row.transient]}; a retry with the same configuration {helps}")
    yield "Next", Text(row.next_step.text)
    yield "To do", Text(row.advice, style="bold")


def _category(row: Diagnosis) -> Text:
    return Text(row.category.value, style="yellow" if row.category in LESS_SEVERE else "bold red")


def _answer(answer: Answer) -> Text:
    return Text(answer.value, style=STYLES[answer])


def _next(row: Diagnosis) -> Text:
    will = row.next_step.will
    return Text(WILL.get(will, will.value), style="red" if will is Will.NOTHING else "")


COLUMNS: tuple[Column[Diagnosis], ...] = (
    Column("POD", lambda row: Text(f"{row.namespace}/{row.pod}")),
    Column("CONTAINER", lambda row: Text("-" if row.container is None else row.container)),
    Column("CATEGORY", _category),
    Column("TRANSIENT?", lambda row: _answer(row.transient)),
    Column("RETRY HELPS?", lambda row: _answer(row.retry_helps)),
    Column("KUBERNETES WILL", _next),
    Column("WHAT", lambda row: Text(row.what), spare=1),
    Column("TO DO", lambda row: Text(row.advice)),
)
