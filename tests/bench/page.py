"""docs/benchmarks.md and tables on a screen, from results and remarks; the texts between the tables are in prose/."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table as ScreenTable

from tests.bench.figures import Cell, Result, Table, Verdict
from tests.bench.goals import GOALS, Goal
from tests.bench.groups import GROUPS
from tests.bench.picture import PICTURES, file_name

NOT_MEASURED = "not measured"
PROSE = Path(__file__).parent / "prose"


def page(results: Sequence[Result], remarks: str) -> str:
    """The whole document."""
    parts = [prose("intro"), "## The goals", goals(results), "## Machine and sizes", machines(results)]
    for group in GROUPS:
        parts.append("#" + prose(group))
        for result in results:
            if result.group == group:
                parts += [part for table in result.tables for part in tables(table)]
    parts += ["## Missed goals, and why", remarks, "#" + prose("peers")]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def prose(name: str) -> str:
    """A text that does not depend on the figures."""
    return (PROSE / f"{name}.md").read_text()


def goals(results: Iterable[Result]) -> str:
    """A row for each of the design's goals, measured or not."""
    verdicts = [verdict for result in results for verdict in result.verdicts]
    rows = [goal_row(goal, [v for v in verdicts if v.goal == goal.key]) for goal in GOALS]
    return markdown(("goal", "measured", "met"), rows)


def goal_row(goal: Goal, verdicts: Sequence[Verdict]) -> tuple[str, str, str]:
    """The measured values, each with its own verdict if they differ."""
    if not verdicts:
        return goal.text, NOT_MEASURED, NOT_MEASURED
    met = {verdict.met for verdict in verdicts}
    if len(met) == 1:
        return goal.text, "<br>".join(v.measured for v in verdicts), "yes" if met == {True} else "**no**"
    measured = "<br>".join(f"{v.measured}: {'yes' if v.met else '**no**'}" for v in verdicts)
    return goal.text, measured, "**in part**"


def machines(results: Iterable[Result]) -> str:
    """Machine, time and sizes of each part."""
    rows = [
        (
            f"{result.group}, {result.part}",
            result.at,
            result.machine.get("kernel", "?") + (" (User-Mode Linux)" if _is_uml(result) else ""),
            result.machine.get("processor", "?"),
            result.machine.get("load", "?"),
            ", ".join(f"{name} {value}" for name, value in result.sizes.items()),
        )
        for result in results
    ]
    return markdown(("part", "when", "kernel", "machine", "load", "sizes"), rows)


def _is_uml(result: Result) -> bool:
    return result.where == "lab" and result.machine.get("kernel") != result.machine.get("host kernel")


def tables(table: Table) -> list[str]:
    """Title, picture, table and note."""
    picture = PICTURES.get(table.title)
    seen = [f"![{table.title}: {picture.measured}](benchmarks/{file_name(table)})"] if picture else []
    return [f"### {table.title}", *seen, markdown(table.columns, table.rows), table.note]


def markdown(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def on_screen(table: Table) -> ScreenTable:
    """The same for a terminal."""
    found = ScreenTable(title=table.title, title_justify="left", caption=table.note, caption_justify="left")
    for number, column in enumerate(table.columns):
        found.add_column(column, justify="left" if number < 2 else "right")
    for row in table.rows:
        found.add_row(*(str(cell) for cell in row))
    return found
