"""For all unit tests."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from agent.kernel import scheduling
from agent.kernel.scheduling import Policy

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")  # a busy machine makes no test fail


@pytest.fixture(autouse=True)
def tests_are_no_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """They don't come before what else this machine does, whoever runs them."""
    monkeypatch.setattr(scheduling, "come_first", lambda: Policy.ROUND_ROBIN)
    monkeypatch.setattr(scheduling, "be_nice", lambda: Policy.NICE)
    monkeypatch.setattr(scheduling, "stand_back", lambda: None)
