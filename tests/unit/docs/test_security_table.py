"""The table of mounts and capabilities in docs/security.md: each is there, and each claim has a test that took it away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab import profiles

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text()
SECTION = PAGE.partition("\n## Every mount and capability\n")[2].partition("\n## ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line.startswith("| ")
][1:]
TESTS = "".join(
    (ROOT / "tests" / "kernel" / f"test_{name}.py").read_text() for name in ("least_privilege", "without_privileges")
)
FULL, LEAST = profiles.full(), profiles.least()


def named(pattern: str, profile: str) -> set[str]:
    """What the first column names, of rows for this profile."""
    return {match[1] for what, who, *_ in ROWS if (match := re.match(pattern, what)) and who in ("both", profile)}


@pytest.mark.parametrize("profile", [FULL, LEAST], ids=["full", "least-privilege"])
def test_the_table_has_each_mount_of_the_manifests_and_no_other(profile: profiles.Profile) -> None:
    assert named(r"mount `(\w+)`", profile.name) == {mount.volume for mount in profile.mounts}


@pytest.mark.parametrize("profile", [FULL, LEAST], ids=["full", "least-privilege"])
def test_it_says_which_mounts_can_be_written_and_where_they_are_from(profile: profiles.Profile) -> None:
    rows = {match[1]: what for what, *_ in ROWS if (match := re.match(r"mount `(\w+)`", what))}
    for mount in profile.mounts:
        assert ("writable" in rows[mount.volume]) is not mount.read_only
        assert mount.host_path is None or f"`{mount.host_path}`" in rows[mount.volume]


def test_it_has_each_capability_that_the_least_privilege_profile_keeps_and_no_other() -> None:
    assert named(r"capability `(\w+)`", "least-privilege") == set(LEAST.capabilities or ())


def test_it_has_whatever_else_the_manifests_ask_for() -> None:
    whats = " ".join(what for what, *_ in ROWS)
    assert ("`hostPID`" in whats) is FULL.host_pid is LEAST.host_pid
    assert ("uid 0" in whats) is (FULL.uid == LEAST.uid == 0)
    assert ("`privileged`" in whats) is FULL.privileged
    assert not LEAST.privileged
    assert not FULL.host_network
    assert not LEAST.host_network
    assert FULL.read_only_root
    assert LEAST.read_only_root
    assert LEAST.seccomp
    assert not LEAST.may_escalate


def test_each_test_that_it_names_exists_and_each_that_takes_something_away_is_named() -> None:
    mentioned = set(re.findall(r"`(test_\w+)`", SECTION))
    existing = set(re.findall(r"^def (test_\w+)\(", TESTS, re.MULTILINE))
    assert mentioned <= existing
    taking = {name for name in existing if name.startswith(("test_without_", "test_with_", "test_as_", "test_kmsg_"))}
    assert taking <= mentioned
