"""The kubectl plugin as one file that Python runs: `python scripts/release/plugin.py TREE OUT`, TREE being the image's / as a folder.

A zip with oomward and the packages that the image has, without what is compiled for one platform: commands of the plugin need none of that.
The same input gives the same bytes.
"""

from __future__ import annotations

import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEAST_PYTHON = (3, 11)
WHEN = (1980, 1, 1, 0, 0, 0)
MAIN = """\
import sys

if sys.version_info < {least}:
    sys.exit("kubectl oomward needs Python {text} or newer as python3; this is " + sys.version.partition(" ")[0])
sys.argv[0] = "kubectl-oomward"
from {module} import {function}

sys.exit({function}())
"""


def entry_point() -> tuple[str, str]:
    """Module and function of the script kubectl-oomward, or else of oomward."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = str(scripts.get("kubectl-oomward", scripts["oomward"])).partition(":")
    return module, function


def sources(tree: Path) -> Iterator[tuple[str, Path]]:
    """Each file of Python's packages that goes into the zip, by its name there. Raises ValueError for a tree without oomward."""
    found = next((path.parent for path in sorted(tree.rglob("agent")) if (path / "cli.py").is_file()), None)
    if found is None:
        raise ValueError(f"{tree} has no oomward in it: run `make image-here`")
    for file in sorted(found.rglob("*")):
        if file.is_file() and file.suffix not in (".so", ".pyc") and "__pycache__" not in file.parts:
            yield str(file.relative_to(found)), file


def build(tree: Path, out: Path) -> None:
    module, function = entry_point()
    text = ".".join(map(str, LEAST_PYTHON))
    with out.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
            main = MAIN.format(least=LEAST_PYTHON, text=text, module=module, function=function)
            made.writestr(_info("__main__.py"), main)
            for name, path in sources(tree):
                made.writestr(_info(name), path.read_bytes())
    out.chmod(0o755)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, WHEN)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return info


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
