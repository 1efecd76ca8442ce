"""``python -m tests.setup.index FOLDER LOCK…``: a package index of one's own, as it may look in a year.

It has every file that the lock files list for this machine, and for ten of their packages a newer release as well, which nobody may take.
Used from the disk: ``PIP_CONFIG_FILE=/dev/null PIP_INDEX_URL=file://FOLDER/simple make demo``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import re
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename

NEWER = (
    "coverage", "editables", "hatchling", "kubernetes", "packaging", "psutil", "pytest", "pyyaml", "rich", "urllib3",
)  # fmt: skip
A_YEAR_LATER = "9999.1"


def make_index(folder: Path, locks: list[Path], extra: list[str]) -> Path:
    """Fill ``folder`` and return the folder that ``PIP_INDEX_URL`` names.

    ``extra``: requirements beside the lock files, such as ``pip==23.0.1``.
    Raises subprocess.CalledProcessError where a listed file can't be downloaded.
    """
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    for lock in locks:
        _download(files, "--require-hashes", "--requirement", str(lock))
    for requirement in extra:
        _download(files, requirement)
    for name in NEWER:
        newer_release(files, name)
    return _pages(folder, files)


def _download(files: Path, *what: str) -> None:
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", str(files))
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *what], check=True)


def newer_release(files: Path, name: str) -> Path:
    """A wheel of ``name`` that any resolver prefers and that has nothing in it."""
    wheel = files / f"{name}-{A_YEAR_LATER}-py3-none-any.whl"
    info = f"{name}-{A_YEAR_LATER}.dist-info"
    contents = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {A_YEAR_LATER}\nProvides-Extra: toml\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in contents.items())
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
    return wheel


def _digest(text: str) -> str:
    """As a wheel's RECORD has it: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _pages(folder: Path, files: Path) -> Path:
    """One page per package, as PEP 503 has it."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(files.glob("*.whl")):
        by_name[parse_wheel_filename(file.name)[0]].append(file)
    simple = folder / "simple"
    for name, wheels in by_name.items():
        links = (
            f'<a href="../../files/{html.escape(wheel.name)}#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}">{wheel.name}</a>'
            for wheel in wheels
        )
        page = simple / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("<!DOCTYPE html>\n" + "<br>\n".join(links) + "\n")
    return simple


def locked(lock: Path) -> dict[str, str]:
    """Version by package of a lock file, also of what other Pythons and systems need."""
    lines = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)", lock.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.setup.index", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("locks", type=Path, nargs="+")
    parser.add_argument("--also", action="append", default=[], metavar="REQUIREMENT")
    arguments = parser.parse_args()
    simple = make_index(arguments.folder.resolve(), arguments.locks, arguments.also)
    print(f"PIP_CONFIG_FILE=/dev/null PIP_INDEX_URL={simple.as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
