"""Draw the picture of the rooms in docs/architecture.md from the imports of the code: `python scripts/picture.py`.

A test compares them. Floors are the layers of the import contracts in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PLACE = re.compile(
    r"(<!-- picture of the rooms: scripts/picture.py draws it -->\n).*?(<!-- end of the picture -->)", re.DOTALL
)
EVERYBODYS = ("model", "model_status")  # the vocabulary: all rooms import it, so its arrows show nothing
BUILDERS = ("run", "commands")  # they build and use all rooms below them: likewise


def rooms() -> set[str]:
    """Modules and packages right below agent/."""
    inside = (ROOT / "agent").iterdir()
    return {path.stem for path in inside if path.suffix == ".py" or (path / "__init__.py").exists()} - {
        "__init__",
        "__main__",
    }


def floors() -> list[list[str]]:
    """The rooms by floor, the highest first; what has no contract yet has no floor."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip().removeprefix("agent.") for name in layer.split("|")] for layer in layers]


def arrows() -> set[tuple[str, str]]:
    """Who imports whom, room by room."""
    found = set()
    for path in (ROOT / "agent").rglob("*.py"):
        room = path.relative_to(ROOT / "agent").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("agent."):
                found.add((room, node.module.split(".")[1]))
    return {(room, other) for room, other in found if room not in (other, "__main__")}


def picture() -> str:
    """Mermaid's text."""
    lines = ["```mermaid", "flowchart TB"]
    number = len(floors())
    for floor in floors():
        drawn = [room for room in floor if room not in EVERYBODYS]
        if drawn:
            lines.append(f'  subgraph floor{number}["floor {number}"]')
            lines += [f"    {room}" for room in drawn]
            lines.append("  end")
        number -= 1
    lines += [
        f"  {room} --> {other}"
        for room, other in sorted(arrows())
        if other not in EVERYBODYS and room not in (*BUILDERS, *EVERYBODYS)
    ]
    return "\n".join([*lines, "```", ""])


def main() -> None:
    """Only what is between the two marks is replaced."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(lambda found: found[1] + picture() + found[2], page, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
