"""``make fuzz``: each target under atheris for so many runs, two at a time, and a table of what came of it.

What is found goes to ``build/fuzz/NAME/``: inputs that led somewhere new in ``found/``, one that failed as ``crash-…``; a target
that fails ends with the command that runs that input again. Where atheris has no wheel, plain mutations run, and that is said.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import BY_NAME, HERE, TARGETS, Target

REPO = HERE.parents[1]
WORK = REPO / "build" / "fuzz"
SLOWEST_S = 10  # one run that takes longer is a failure
MOST_MIB = 2048
DONE = re.compile(r"^Done (\d+) runs in \d+ second", re.MULTILINE)
ATHERIS = importlib.util.find_spec("atheris") is not None
COVERED = re.compile(r"\bcov: (\d+)")


@dataclass(frozen=True, slots=True)
class Result:
    """``runs`` and ``branches`` (libFuzzer's ``cov``) None: it did not come that far as to say."""

    target: Target
    code: int
    seconds: float
    runs: int | None
    branches: int | None
    log: Path


def fuzz(target: Target, runs: int, seconds: int) -> Result:
    """One target; libFuzzer's own words are in its log. ``seconds`` 0: for as long as the runs take."""
    work = WORK / target.name
    (work / "found").mkdir(parents=True, exist_ok=True)
    log = work / "log"
    command = _with_atheris(target, work, runs, seconds) if ATHERIS else _without(target, runs, seconds)
    began = time.monotonic()
    with log.open("wb") as output:
        code = subprocess.run(command, cwd=REPO, stdout=output, stderr=output, check=False).returncode
    text = log.read_text(errors="replace")
    done, covered = DONE.search(text), COVERED.findall(text)
    return Result(
        target,
        code,
        time.monotonic() - began,
        int(done[1]) if done else None,
        int(covered[-1]) if covered else None,
        log,
    )


def _without(target: Target, runs: int, seconds: int) -> list[str]:
    return [sys.executable, "-m", "tests.fuzz.plain", target.name, str(runs), str(seconds)]


def _with_atheris(target: Target, work: Path, runs: int, seconds: int) -> list[str]:
    return [
        sys.executable, "-m", "tests.fuzz.engine", target.name, str(work / "found"), str(target.corpus), f"-runs={runs}",
        f"-max_total_time={seconds}", f"-max_len={target.longest_bytes}", f"-timeout={SLOWEST_S}", f"-rss_limit_mb={MOST_MIB}",
        f"-dict={target.dictionary}", f"-artifact_prefix={work}/",
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Run the fuzz targets under atheris.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(BY_NAME)}; all when none is named")
    parser.add_argument("--runs", type=int, default=10_000_000, help="of each target")
    parser.add_argument(
        "--seconds", type=int, default=0, help="for each target at the most (0: as long as the runs take)"
    )
    arguments = parser.parse_args()
    if not ATHERIS:
        print("without atheris (it has wheels for Linux on amd64): mutations by chance, blind to branches")
    chosen = [BY_NAME[name] for name in arguments.targets] or list(TARGETS)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda target: fuzz(target, arguments.runs, arguments.seconds), chosen))
    for result in results:
        speed = f"{result.runs / result.seconds:9.0f}" if result.runs else "        -"
        word = "ok    " if result.code == 0 else "FAILED"
        seen = "" if result.branches is None else f", {result.branches} branches"
        print(f"{word} {result.target.name:10} {result.runs or 0:>10} runs {speed} a second{seen}")
        if result.code != 0:
            print(f"       its log: {result.log}\n{result.log.read_text(errors='replace')[-3000:]}")
            print(
                f"       again: {sys.executable} -m tests.fuzz.engine {result.target.name} {result.log.parent}/crash-…"
            )
    return 1 if any(result.code for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
