"""The version, wherever it is written: `python scripts/release/version.py` writes agent/__init__.py's everywhere.

`--check v1.2.3` changes nothing: it fails unless that tag, code, manifests, chart, docs and the changelog have one version, and prints it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
NUMBER = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?"
# What stands before a version of ours, by the files it stands in.
PLACES = {
    ("Dockerfile",): r"^ARG VERSION=",
    ("manifests/chart/Chart.yaml",): r"^(?:version|appVersion): |ghcr\.io/oomward/oomward:",
    ("manifests/base/*.yaml", "manifests/components/*/*.yaml"): r"ghcr\.io/oomward/oomward:",
    ("*.md", "docs/**/*.md", "manifests/chart/README.md"): (
        r"ghcr\.io/oomward/(?:charts/)?oomward:|\?ref=v|refs/tags/v|--version |git tag --sign v|git push origin v|^  version: "
    ),
}
OTHERS = ("CHANGELOG.md", "docs/adr/", "docs/benchmarks")


def in_code(root: Path = ROOT) -> str:
    """agent/__init__.py's. Raises ValueError if there is none."""
    found = re.search(rf'^__version__ = "({NUMBER})"$', (root / "agent" / "__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError("agent/__init__.py has no __version__ of the form 1.2.3")
    return found[1]


def stale(version: str, root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Each file with another version, and its text with this one."""
    for patterns, before in PLACES.items():
        place = re.compile(rf"({before}){NUMBER}", re.MULTILINE)
        for file in sorted({file for pattern in patterns for file in root.glob(pattern)}):
            if file.relative_to(root).as_posix().startswith(OTHERS):
                continue
            text = file.read_text()
            if (new := place.sub(lambda found: found[1] + version, text)) != text:
                yield file, new


def problems(tag: str, root: Path = ROOT) -> Iterator[str]:
    """Why this tag is no release of this tree."""
    version = in_code(root)
    if tag != f"v{version}":
        yield f"the tag is {tag}, and agent/__init__.py says {version}"
    yield from (f"{file.relative_to(root)} has another version: run `make version`" for file, _ in stale(version, root))
    if not notes(version, root):
        yield f"CHANGELOG.md has no section [{version}]"


def notes(version: str, root: Path = ROOT) -> str:
    """The changelog's section of a version, without its heading; empty: there is none."""
    text = (root / "CHANGELOG.md").read_text()
    section = re.search(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL)
    return "" if section is None else section[1].strip()


def main(words: list[str]) -> int:
    if words[:1] == ["--check"]:
        found = list(problems(words[1]))
        (sys.stderr if found else sys.stdout).write(("\n".join(found) or in_code()) + "\n")
        return 1 if found else 0
    for file, text in stale(in_code()):
        file.write_text(text)
        sys.stdout.write(f"{file.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
