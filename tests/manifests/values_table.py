"""The table of the chart's values, made of values.yaml. ``python -m tests.manifests.values_table`` writes it into PAGES."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.manifests.objects import CHART, ROOT

DOCUMENTED = re.compile(r"^(?P<indent> *)# -- (?P<text>.*)$")
COMMENT = re.compile(r"^ *# (?P<text>.*)$")
KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]+):")
LONGEST = 70
PAGES = (ROOT / "docs" / "reference" / "manifests.md", CHART / "README.md")


def rows() -> list[tuple[str, object, str]]:
    """Each documented value: its path, its default, what it means; in the file's order."""
    text = (CHART / "values.yaml").read_text()
    defaults: dict[str, Any] = yaml.safe_load(text)
    found: list[tuple[str, object, str]] = []
    meaning, parents = "", [""]
    for line in text.splitlines():
        if begin := DOCUMENTED.match(line):
            meaning = begin["text"]
        elif meaning and (more := COMMENT.match(line)):
            meaning += f" {more['text']}"
        elif key := KEY.match(line):
            depth = len(key["indent"]) // 2
            parents = [*parents[:depth], key["key"]]
            if meaning:
                path = ".".join(parents)
                found.append((path, _at(defaults, parents), meaning))
                meaning = ""
    return found


def table() -> str:
    """The table in Markdown."""
    lines = [f"| `{path}` | {_shown(default)} | {meaning} |" for path, default, meaning in rows()]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *lines]) + "\n"


def _at(values: Any, path: list[str]) -> object:
    for key in path:
        values = values[key]
    return values


def _shown(default: object) -> str:
    flow = yaml.safe_dump(default, default_flow_style=True, width=1000).removesuffix("...\n").strip()
    return f"`{flow}`" if len(flow) <= LONGEST else "see values.yaml"


def main() -> None:
    """Replace the table in each page."""
    head, rule, *_ = table().splitlines()
    old = re.compile(rf"{re.escape(head)}\n{re.escape(rule)}\n(?:\|.*\n)*")
    for page in PAGES:
        page.write_text(old.sub(lambda _: table(), page.read_text()))


if __name__ == "__main__":
    main()
