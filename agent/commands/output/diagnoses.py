"""What ``diagnose`` shows, and ``explain`` of a pod that isn't well: a row each for a whole node, a section each for one pod.

Takes Diagnoses, whose text is safe already, prints them to the file it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TextIO

from rich.text import Text

from agent.commands.output.sections import Line, print_sections
from agent.commands.output.table import Column, Output, print_json, print_table
from agent.model.diagnosis import Answer, Category, Diagnosis, Will

STYLES = {Answer.YES: "green", Answer.PERHAPS: "", Answer.NO: "red"}
HELPS = {
    Answer.YES: "trying again with the same configuration can help",
    Answer.PERHAPS: "trying again with the same configuration may help",
    Answer.NO: "trying again with the same configuration can't help",
}
PASSES = {Answer.YES: "yes", Answer.PERHAPS: "perhaps", Answer.NO: "not by itself"}
LESS_GRAVE = (Category.NOT_READY, Category.NOT_STARTING, Category.PREEMPTED, Category.NODE_SHUTDOWN)


def show_diagnoses(rows: Sequence[Diagnosis], nothing: str, output: Output, file: TextIO) -> None:
    """A row each; ``nothing`` is said when there are none."""
    if output is Output.JSON:
        print_json("diagnoses", [asdict(row) for row in rows], file)
    else:
        print_table(rows, COLUMNS, nothing, file)


def show_pod_diagnoses(rows: Sequence[Diagnosis], nothing: str, output: Output, file: TextIO) -> None:
    """A section each, of one pod."""
    if output is Output.JSON or not rows:
        show_diagnoses(rows, nothing, output, file)
        return
    print_sections(diagnosis_sections(rows), file)


def diagnosis_sections(rows: Sequence[Diagnosis]) -> Iterator[tuple[str, list[Line]]]:
    """A section of named lines for each."""
    for row in rows:
        kind = f" ({row.kind.value})" if row.kind is not None else ""
        of = f"pod {row.namespace}/{row.pod}" if row.container is None else f"container {row.container}{kind}"
        yield f"Diagnosis of {of}", list(_lines(row))


def _lines(row: Diagnosis) -> Iterator[Line]:
    yield "Category", _category(row).append(f" ({row.rule})", style="dim")
    yield "What", Text(row.what)
    if row.message:
        yield "Said", Text(row.message)
    yield "Passes", Text(f"{PASSES[row.transient]}; {HELPS[row.retry_helps]}")
    yield "Next", Text(row.next_step.text)
    yield "To do", Text(row.advice, style="bold")


def _category(row: Diagnosis) -> Text:
    return Text(row.category.value, style="yellow" if row.category in LESS_GRAVE else "bold red")


def _answer(answer: Answer) -> Text:
    return Text(answer.value, style=STYLES[answer])


def _next(row: Diagnosis) -> Text:
    return Text(row.next_step.will.value, style="red" if row.next_step.will is Will.NOTHING else "")


COLUMNS: tuple[Column[Diagnosis], ...] = (
    Column("POD", lambda row: Text(f"{row.namespace}/{row.pod}")),
    Column("CONTAINER", lambda row: Text("-" if row.container is None else row.container)),
    Column("CATEGORY", _category),
    Column("PASSES", lambda row: _answer(row.transient)),
    Column("AGAIN", lambda row: _answer(row.retry_helps)),
    Column("NEXT", _next),
    Column("WHAT", lambda row: Text(row.what), spare=1),
    Column("TO DO", lambda row: Text(row.advice)),
)
