"""How many examples Hypothesis tries: as many as a test asks for with OOMWARD_TESTS=all, a quarter with OOMWARD_TESTS=quick.

With quick they are the same each time, so that a change is judged by what it changes; new ones are searched for with all.

conftest.py loads the profile. A test that needs another number than the profile's says ``@examples(60)``: an explicit
``max_examples`` would hold in both.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

VARIABLE = "OOMWARD_TESTS"
SHARES = {"quick": 0.25, "all": 1.0}  # of the examples that a test asks for
PROFILES = {"quick": "quick", "all": "full"}
FULL_EXAMPLES = 100


def tier() -> str:
    """``quick`` or ``all``; ``all`` where the variable isn't set. Raises ValueError for anything else."""
    value = os.environ.get(VARIABLE, "all")
    if value not in SHARES:
        raise ValueError(f"{VARIABLE} is {value!r}: it must be one of {', '.join(SHARES)}")
    return value


def share(full: int) -> int:
    """The number of examples in this tier, of a test that asks for ``full``."""
    return max(1, round(full * SHARES[tier()]))


def examples(full: int, **more: Any) -> settings:
    """For a test that asks for another number of examples than the profile has. ``more`` as for hypothesis.settings."""
    return settings(max_examples=share(full), **more)


def load() -> None:
    """Register both profiles and load this tier's: no deadline, so that a busy machine fails no test; a failure prints its blob."""
    for name, profile in PROFILES.items():
        settings.register_profile(
            profile,
            max_examples=round(FULL_EXAMPLES * SHARES[name]),
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            print_blob=True,
            derandomize=name == "quick",
        )
    settings.load_profile(PROFILES[tier()])
