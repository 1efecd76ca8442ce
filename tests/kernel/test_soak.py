"""Everything at once for a short while, against the lab's own oracle; `make soak` does it for as long as you like.

Sizes by environment: SOAK_SECONDS of trouble, SOAK_SEED for the same trouble again (as far as a real kernel lets it).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.soak.invariants import INVARIANTS, Rest
from tests.soak.run import soak
from tests.soak.world import World

SECONDS = float(os.environ.get("SOAK_SECONDS", "45"))
SEED = int(os.environ.get("SOAK_SEED", "20"))


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Rest]]:
    world, rest = soak(tmp_path_factory.mktemp("node"), "systemd", SECONDS, SEED)
    yield world, rest
    world.close()


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_after_all_the_trouble_this_still_holds(soaked: tuple[World, Rest], invariant: str) -> None:
    found = INVARIANTS[invariant](*soaked)
    assert not found, "\n".join(found)


def test_there_was_trouble_of_many_kinds(soaked: tuple[World, Rest]) -> None:
    world, _ = soaked
    assert len(world.done) >= 8, f"done {dict(world.done)}, missed {dict(world.missed)}"
    assert len(world.node.agents) >= 3, "no agent was killed"
