"""``make mutants``: each mutant on a copy of the tree, two at a time; every one must be noticed by the tests that it names.
With ``SINCE=REVISION`` only those whose file, or one of whose tests, has changed since.

The same tests must pass on the copy as it is, and must fail on the mutant by an assertion or an error of the test itself: a mutant
that can't even be imported proves nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import MUTANTS, Mutant

REPO = Path(__file__).parents[2]
PARTS = ("agent", "tests", "manifests", "docs", "pyproject.toml")
SECONDS = 60  # for one mutant's tests
SECONDS_ALL = 1800  # for all of them, once
PASSED, FAILED = 0, 1  # pytest's exit codes


class StaleError(AssertionError):
    """The line that a mutant breaks is not there, or there twice: the mutant has to follow the code."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``trouble`` None: noticed."""

    mutant: Mutant
    seconds: float
    trouble: str | None


def copy_of_the_tree(to: Path) -> None:
    """All that the unit tests read."""
    leave = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    for part in PARTS:
        source = REPO / part
        if source.is_dir():
            shutil.copytree(source, to / part, ignore=leave)
        else:
            shutil.copy2(source, to / part)


def mutated(mutant: Mutant, text: str) -> str:
    """The file with its line broken. Raises StaleError."""
    if text.count(mutant.before) != 1:
        raise StaleError(f"agent/{mutant.file} has {mutant.before!r} {text.count(mutant.before)} times, not once")
    broken = text.replace(mutant.before, mutant.after)
    compile(broken, mutant.file, "exec")
    return broken


def verdict(mutant: Mutant, tree: Path) -> Verdict:
    """Break the line in the tree, run the tests, and mend it."""
    file = tree / "agent" / mutant.file
    whole = file.read_text()
    began = time.monotonic()
    try:
        file.write_text(mutated(mutant, whole))
        code, said = run_tests(tree, mutant.tests)
    except StaleError as error:
        return Verdict(mutant, 0.0, str(error))
    except subprocess.TimeoutExpired:
        code, said = FAILED, ""  # a test that hangs is noticed, too
    finally:
        file.write_text(whole)
    trouble = None
    if code == PASSED:
        trouble = f"no test of {', '.join(mutant.tests)} fails"
    elif code != FAILED:
        trouble = f"pytest ended with {code}:\n{said[-2000:]}"
    return Verdict(mutant, time.monotonic() - began, trouble)


def run_tests(tree: Path, tests: Iterable[str], seconds: float = SECONDS) -> tuple[int, str]:
    """Exit code and output of pytest in that tree, up to the first failure. Raises subprocess.TimeoutExpired."""
    paths = [f"tests/unit/{test}" for test in tests]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *paths]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=seconds
    )
    return done.returncode, done.stdout + done.stderr


def touched(mutants: Iterable[Mutant], changed: Iterable[str]) -> list[Mutant]:
    """Those whose file, or one of whose tests, is among the changed paths of the checkout."""
    paths = set(changed)

    def tests(mutant: Mutant) -> set[str]:
        return {
            path for test in mutant.tests for path in paths if f"{path}/".startswith(f"tests/unit/{test.rstrip('/')}/")
        }

    return [mutant for mutant in mutants if f"agent/{mutant.file}" in paths or tests(mutant)]


def changed_since(revision: str) -> list[str]:
    """Paths of the checkout that differ from the revision. Raises subprocess.CalledProcessError when git doesn't know it."""
    command = ["git", "diff", "--name-only", revision, "--", "agent", "tests/unit"]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout.splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.run", description=__doc__)
    parser.add_argument("--since", metavar="REVISION", help="only mutants of what has changed since then")
    since = parser.parse_args().since
    mutants = list(MUTANTS) if since is None else touched(MUTANTS, changed_since(since))
    if not mutants:
        print(f"no mutant is in a file that has changed since {since}")
        return 0
    with tempfile.TemporaryDirectory(prefix="oomward-mutants-") as folder:
        trees = [Path(folder) / name for name in "ab"]
        for tree in trees:
            tree.mkdir()
            copy_of_the_tree(tree)
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        code, said = run_tests(trees[0], tests, SECONDS_ALL)
        if code != PASSED:
            print(f"the tests fail without any mutant:\n{said[-4000:]}")
            return 1
        with ThreadPoolExecutor(2) as pool:
            halves = pool.map(lambda i: [verdict(mutant, trees[i]) for mutant in mutants[i::2]], range(2))
            verdicts = [each for half in halves for each in half]
    for each in sorted(verdicts, key=lambda v: mutants.index(v.mutant)):
        word = "noticed" if each.trouble is None else "MISSED "
        print(f"{word} {each.seconds:5.1f} s  agent/{each.mutant.file}: {each.mutant.what}")
        if each.trouble is not None:
            print(f"                 {each.trouble}")
    missed = sum(each.trouble is not None for each in verdicts)
    print(f"{len(verdicts) - missed} of {len(verdicts)} mutants noticed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
