"""What the ledger is told it knows, after a restart too, and each kill once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.ledger import Ledger
from agent.ledger.unwritten import UNKNOWN
from agent.model import Mode, Outcome, Scope, Victim
from tests.unit.ledger.conftest import Opener
from tests.unit.ledger.records import (
    BOOT,
    OTHER_BOOT,
    POD_UID,
    a_baseline,
    a_decision,
    a_kill,
    a_notice,
    an_original,
)

SERIES = ("shop", "herder-1", "herder", "single", "container")


def test_a_new_ledger_is_empty_persistent_and_without_trouble(ledger: Ledger, tmp_path: Path) -> None:
    assert (ledger.persistent, ledger.trouble, ledger.errors, ledger.pending) == (True, None, 0, 0)
    assert not ledger.seen_this_boot
    assert ledger.kmsg_sequence is None
    assert (ledger.kills(), ledger.baselines(), ledger.originals()) == ([], {}, ())
    assert (ledger.kept_decisions(), ledger.undelivered(), ledger.totals()) == ((), [], {})
    assert (tmp_path / "ledger.sqlite3").exists()


def test_the_state_directory_is_made_when_it_is_missing(open_ledger: Opener, tmp_path: Path) -> None:
    assert open_ledger(state_dir=tmp_path / "not" / "yet").persistent


def test_what_was_recorded_is_there_after_a_restart_in_the_same_boot(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.record([a_kill(1), a_kill(2, at=1001.0)], [a_baseline(2)], 77)
    ledger.queue(a_notice())
    again = open_ledger()
    assert again.seen_this_boot
    assert again.kills() == [a_kill(2, at=1001.0), a_kill(1)]
    assert again.baselines() == {7: a_baseline(2)}
    assert again.kmsg_sequence == 77
    assert again.undelivered() == [a_notice()]
    assert again.totals() == {SERIES: 2}


def test_a_boot_is_seen_with_its_first_baselines_and_not_with_anything_before_them(
    ledger: Ledger, open_ledger: Opener
) -> None:
    ledger.remember_original(an_original())
    again = open_ledger()
    assert not again.seen_this_boot
    assert again.originals() == (an_original(),), "what `once` wrote back stays known"
    again.record([], [a_baseline(2)], 77)
    assert open_ledger().seen_this_boot


def test_a_repeated_kill_id_is_ignored_and_counted_nowhere(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.record([a_kill(1, processes=3)], [], None)
    ledger.record([a_kill(1, processes=9), a_kill(2)], [], None)
    open_ledger().record([a_kill(1, processes=9)], [], None)
    again = open_ledger()
    assert [kill.processes for kill in again.kills(limit=9)] == [1, 3]
    assert again.totals() == {SERIES: 4}


def test_another_boot_drops_inodes_and_the_logs_position_and_keeps_kills_and_decisions(
    ledger: Ledger, open_ledger: Opener
) -> None:
    ledger.record([a_kill()], [a_baseline()], 77)
    ledger.remember_original(an_original())
    ledger.keep_decisions(POD_UID, [a_decision()])
    rebooted = open_ledger(OTHER_BOOT)
    assert not rebooted.seen_this_boot
    assert (rebooted.baselines(), rebooted.originals(), rebooted.kmsg_sequence) == ({}, (), None)
    assert rebooted.kills() == [a_kill()]
    assert rebooted.kept_decisions() == (a_decision(),)
    assert rebooted.totals() == {SERIES: 1}
    assert not open_ledger(BOOT).seen_this_boot


def test_the_first_original_of_a_cgroup_wins_and_forgetting_it_lasts(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.remember_original(an_original(value=1))
    ledger.remember_original(an_original(value=0))
    ledger.remember_original(an_original(8))
    again = open_ledger()
    again.remember_original(an_original(value=0))
    assert again.original(7) == an_original(value=1)
    assert set(again.originals()) == {an_original(7), an_original(8)}
    again.forget_original(7)
    again.forget_original(99)
    assert again.original(7) is None
    assert open_ledger().originals() == (an_original(8),)


def test_decisions_of_a_pod_replace_the_ones_before(ledger: Ledger, open_ledger: Opener) -> None:
    other = a_decision(pod_uid="other")
    ledger.keep_decisions(POD_UID, [a_decision("a"), a_decision("b", container_id=None)])
    ledger.keep_decisions("other", [other])
    ledger.keep_decisions(POD_UID, [a_decision("b"), a_decision("")])
    assert set(open_ledger().kept_decisions()) == {a_decision("b"), a_decision(""), other}


def test_the_old_and_the_new_instance_of_one_container_are_both_kept(ledger: Ledger, open_ledger: Opener) -> None:
    both = (a_decision(container_id="old"), a_decision(container_id="new"))
    ledger.keep_decisions(POD_UID, both)
    assert open_ledger().kept_decisions() == both


def test_a_pod_that_is_gone_is_forgotten_for_good(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.keep_decisions(POD_UID, [a_decision()])
    ledger.forget_pod(POD_UID)
    ledger.forget_pod("never known")
    assert ledger.kept_decisions() == ()
    assert open_ledger().kept_decisions() == ()


def test_a_baseline_moves_on_and_is_forgotten_with_its_cgroup(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.record([], [a_baseline(1), a_baseline(1, inode=8)], None)
    ledger.record([], [a_baseline(5)], None)
    ledger.forget_baselines([8, 9])
    assert ledger.baselines() == {7: a_baseline(5)}
    assert open_ledger().baselines() == {7: a_baseline(5)}


def test_the_logs_position_stays_when_nothing_is_said_of_it(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.record([], [], 5)
    ledger.record([a_kill()], [], None)
    assert ledger.kmsg_sequence == 5
    assert open_ledger().kmsg_sequence == 5


def test_settling_says_what_became_of_the_container(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.record([a_kill(1), a_kill(2)], [], None)
    ledger.record_outcome(a_kill(1).kill_id, Outcome.SURVIVED, None)
    ledger.record_outcome("unknown", Outcome.DIED, None)
    again = open_ledger()
    assert [kill.outcome for kill in again.kills()] == [None, Outcome.SURVIVED]
    assert again.without_event() == [a_kill(2)]


def test_a_kill_outside_of_pods_is_settled_without_an_outcome(ledger: Ledger) -> None:
    host = replace(a_kill(), pod=None, namespace=None, pod_uid=None, container=None)
    ledger.record([host], [], None)
    assert ledger.without_event() == [host]
    ledger.record_outcome(host.kill_id, None, a_notice("node"))
    assert ledger.without_event() == []
    assert ledger.kills() == [host]


def test_a_kill_and_the_event_that_counts_it_are_settled_together(ledger: Ledger, open_ledger: Opener) -> None:
    series = replace(a_notice("first"), group="herder")
    ledger.record([a_kill(1), a_kill(2)], [], None)
    ledger.record_outcome(a_kill(1).kill_id, Outcome.SURVIVED, series)
    ledger.series_delivered(replace(series, sent_count=1, requests=1), "created")
    assert ledger.undelivered() == []
    counted = replace(series, sent_count=1, requests=1, count=2, last_at_unix_s=1001.0)
    ledger.record_outcome(a_kill(2).kill_id, Outcome.SURVIVED, counted)
    assert ledger.undelivered() == [counted], "there is news of it"
    again = open_ledger()
    assert again.without_event() == []
    assert again.undelivered() == again.series(1001.0) == [counted]
    assert again.series(1001.1) == []
    again.series_delivered(replace(counted, sent_count=2, requests=2), "patched")
    assert again.undelivered() == []


def test_an_event_is_found_by_its_name_delivered_or_not(ledger: Ledger) -> None:
    ledger.queue(a_notice("first"))
    assert ledger.notice("first") == a_notice("first")
    ledger.delivered("first", "created")
    assert ledger.notice("first") == a_notice("first")
    assert ledger.notice("other") is None


def test_what_was_counted_while_the_api_was_told_is_still_to_be_told(ledger: Ledger) -> None:
    series = replace(a_notice("first"), group="herder", count=3, sent_count=2)
    ledger.series_delivered(series, "patched")
    assert ledger.undelivered() == [series]


def test_details_that_come_late_replace_the_row_and_keep_outcome_and_totals(
    ledger: Ledger, open_ledger: Opener
) -> None:
    ledger.record([a_kill(scope=None)], [], None)
    ledger.record_outcome(a_kill().kill_id, Outcome.DIED, None)
    detailed = replace(a_kill(scope=Scope.POD), victims=(Victim(1, "a"), Victim(2, "b")), limit_bytes=5, container="c")
    ledger.amend(detailed)
    again = open_ledger()
    assert again.kills() == [replace(detailed, outcome=Outcome.DIED)]
    assert again.totals() == {("shop", "herder-1", "herder", "single", UNKNOWN): 1}


def test_kills_are_found_by_time_namespace_and_pod_newest_first(ledger: Ledger) -> None:
    kills = [
        a_kill(1, at=1.0),
        a_kill(2, at=2.0, pod="other"),
        a_kill(3, at=3.0, namespace="bank"),
        a_kill(4, at=4.0),
    ]
    ledger.record(kills, [], None)
    ordinals = [kill.kill_id.rsplit("-", 1)[1] for kill in ledger.kills()]
    assert ordinals == ["4", "3", "2", "1"]
    assert ledger.kills(namespace="shop", pod="herder-1") == [kills[3], kills[0]]
    assert ledger.kills(since_unix_s=2.0, namespace="shop") == [kills[3], kills[1]]
    assert ledger.kills(limit=1) == [kills[3]]
    assert ledger.kills(limit=0) == []
    assert ledger.kills(pod="x' OR '1'='1") == []


def test_totals_are_kept_by_the_metrics_labels(ledger: Ledger) -> None:
    ledger.record(
        [a_kill(1, processes=2), a_kill(2, mode=Mode.GROUP, processes=3), a_kill(3, mode=None, scope=None)], [], None
    )
    assert ledger.totals() == {
        SERIES: 2,
        ("shop", "herder-1", "herder", "group", "container"): 3,
        ("shop", "herder-1", "herder", UNKNOWN, UNKNOWN): 1,
    }


def test_an_event_waits_until_it_is_delivered_and_is_never_queued_again(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.queue(a_notice("b", at=2.0))
    ledger.queue(a_notice("a", at=1.0))
    ledger.queue(replace(a_notice("a"), note="another text"))
    assert ledger.undelivered() == [a_notice("a", at=1.0), a_notice("b", at=2.0)]
    assert ledger.undelivered(limit=1) == [a_notice("a", at=1.0)]
    ledger.delivered("a", "created")
    again = open_ledger()
    again.queue(a_notice("a"))
    assert again.undelivered() == [a_notice("b", at=2.0)]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_undelivered_gives_the_oldest_up_to_a_limit(ledger: Ledger, limit: int) -> None:
    for number in range(3):
        ledger.queue(a_notice(f"n{number}", at=float(number)))
    assert [notice.name for notice in ledger.undelivered(limit)] == ["n0", "n1", "n2"][:limit]


def test_each_report_that_is_read_again_after_a_start_is_known_however_many_kills_came_later(
    open_ledger: Opener,
) -> None:
    """In a storm most kills have no report, and many are counted at once; a report given again would be another kill's."""
    ledger = open_ledger()
    old, given = (replace(a_kill(), ordinal=1 + i, report_sequence=100 * (1 + i), at_unix_s=1000.0) for i in range(2))
    later = [replace(a_kill(), ordinal=10 + i, report_sequence=None, victims=(), at_unix_s=2000.0) for i in range(6000)]
    ledger.record([old, given, *later], [], 150)
    assert [kill.report_sequence for kill in ledger.reported(150)] == [200], "as long as they are not written"
    assert ledger.commit()
    assert [kill.report_sequence for kill in ledger.reported(150)] == [200]
    assert sorted(kill.report_sequence or 0 for kill in ledger.reported(None)) == [100, 200]


@pytest.mark.parametrize("written", [True, False])
def test_the_last_kills_are_the_newest_and_those_shortly_before_it_however_many(
    open_ledger: Opener, written: bool
) -> None:
    ledger = open_ledger()
    old = a_kill(1, at=100.0)
    last = [a_kill(10 + number, at=191.0 + number / 1000) for number in range(6000)]
    other_boot = replace(a_kill(2, at=199.0), boot_id="another")
    ledger.record([old, *last, other_boot], [], None)
    if written:
        assert ledger.commit()
    assert ledger.last_kills(10.0, 500.0) == last[::-1]
    assert ledger.last_kills(0.0, 500.0) == [last[-1]]
    assert ledger.last_kills(1000.0, 500.0) == [*last[::-1], old]


def test_a_kill_of_a_time_that_is_yet_to_come_is_not_the_newest_but_comes_along(ledger: Ledger) -> None:
    """The clock was set since."""
    old, new, ahead = (a_kill(number, at=at) for number, at in enumerate((100.0, 190.0, 900.0), 1))
    ledger.record([old, new, ahead], [], None)
    assert ledger.commit()
    assert ledger.last_kills(10.0, 200.0) == [ahead, new]
    assert ledger.last_kills(10.0, 50.0) == [ahead, new, old], "all are yet to come"


def test_an_empty_ledger_has_no_last_kills(ledger: Ledger) -> None:
    assert ledger.last_kills(10.0, 500.0) == []


def test_the_last_kill_of_each_container_is_there_after_a_restart(ledger: Ledger, open_ledger: Opener) -> None:
    kills = [
        a_kill(1, at=1000.0),
        a_kill(2, at=1500.0, scope=Scope.POD),
        a_kill(3, at=1400.0, pod="other", pod_uid="other"),
        a_kill(4, at=1600.0, inode=9, container="side"),
    ]
    ledger.record(kills, [], None)
    found = open_ledger().last_in_containers(10)
    assert found == {
        ("shop", "herder-1", "herder"): (1500.0, kills[1]),
        ("shop", "other", "herder"): (1400.0, kills[2]),
        ("shop", "herder-1", "side"): (1600.0, kills[3]),
    }


def test_a_kill_whose_late_report_says_an_earlier_time_is_still_found(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.record([a_kill(1, at=1000.0)], [], None)
    ledger.commit()
    ledger.amend(a_kill(1, at=998.5))
    ledger.commit()
    assert open_ledger().last_in_containers(10) == {("shop", "herder-1", "herder"): (1000.0, a_kill(1, at=998.5))}


def test_last_kills_are_bounded_and_a_namespace_with_many_pushes_out_no_others(
    ledger: Ledger, open_ledger: Opener
) -> None:
    ledger.record([a_kill(1, at=10.0, namespace="honest")], [], None)
    ledger.record([a_kill(2 + i, inode=100 + i, at=1000.0 + i, pod=f"p{i}") for i in range(20)], [], None)
    found = open_ledger().last_in_containers(5)
    assert len(found) == 5
    assert ("honest", "herder-1", "herder") in found
