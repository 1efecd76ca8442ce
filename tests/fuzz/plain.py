"""The targets without atheris: seeds, and mutations of them by chance. Blind to branches, but it runs anywhere.

``python -m tests.fuzz.plain TARGET RUNS SECONDS``. The same number of runs makes the same inputs each time.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator

from tests.fuzz.targets import BY_NAME, Target

SEED = 5507


class FoundError(AssertionError):
    """A target failed; the input is in the message."""


def inputs(target: Target) -> Iterator[bytes]:
    """The seeds as they are, then mutations without end."""
    seeds = target.seeds()
    yield from seeds
    chance = random.Random(SEED)
    words = target.words()
    while True:
        text = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 6)):
            _mutate(text, chance, words, seeds)
        yield bytes(text[: target.longest_bytes * 2])


def _mutate(text: bytearray, chance: random.Random, words: list[bytes], seeds: list[bytes]) -> None:
    at = chance.randint(0, len(text))
    span = min(len(text) - at, int(chance.expovariate(0.1)))
    match chance.randrange(6):
        case 0:
            text[at : at + 1] = bytes((chance.randrange(256),))
        case 1:
            del text[at : at + span]
        case 2:
            text[at:at] = chance.choice(words)
        case 3:
            text[at : at + span] = chance.choice(words)
        case 4:
            text[at:at] = text[at : at + span]
        case _:
            other = chance.choice(seeds)
            begin = chance.randint(0, len(other))
            text[at : at + span] = other[begin : begin + 2 * span]


def run(target: Target, runs: int, seconds: float = 0.0) -> int:
    """Returns how many runs were made: all, or as many as fit into ``seconds`` (0: no bound). Raises FoundError."""
    check = target.check()
    until = time.monotonic() + seconds if seconds else None
    done = 0
    for data in inputs(target):
        if done >= runs or (until is not None and time.monotonic() > until):
            break
        try:
            check(data)
        except Exception as error:
            raise FoundError(f"{target.name} failed ({type(error).__name__}: {error}) on {data!r}") from error
        done += 1
    return done


def main() -> None:
    began = time.monotonic()
    done = run(BY_NAME[sys.argv[1]], int(sys.argv[2]), float(sys.argv[3]))
    print(f"Done {done} runs in {time.monotonic() - began:.0f} second(s)")


if __name__ == "__main__":
    main()
