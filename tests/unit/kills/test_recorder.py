"""What happened is in the ledger first, then counted, logged and posted, each once, however little room there is."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from agent.diagnose.failing import Failing
from agent.events.kill_events import KillEvents
from agent.events.outbox import Outbox
from agent.kills import Findings
from agent.kills import recorder as recorder_module
from agent.kills.recorder import Recorder
from agent.ledger import Ledger
from agent.metrics.metrics import Metrics
from agent.model import (
    NOT_OWN_SCOPES,
    EventDelivered,
    Identity,
    InvalidSetting,
    MemoryUse,
    MemoryVolume,
    Mode,
    Notice,
    ObjectRef,
    OnExceeded,
    OomKill,
    Outcome,
    Pod,
    Reason,
    Scope,
    SeenProcess,
    Source,
    Tolerance,
    Victim,
    WriteOutcome,
)
from agent.modes.notices import ModeNotices
from agent.wording.kill_record import kill_record
from tests.unit.events.world import Posted
from tests.unit.loop.world import UID, pod
from tests.unit.patience import PATIENCE_S
from tests.unit.profiles import examples
from tests.unit.wording.kills import GROUP, HOST, KILL, LOST, SERVICE, USED
from tests.unit.wording.test_events_reference import TYPES

NOW = KILL.at_unix_s + 1
OF_PRESSURE = (Reason.LIMIT_PRESSURE, Reason.STALL_RESOLVED)  # posted by the room pressure
OPEN = replace(KILL, outcome=None, pod_uid=UID, cgroup_path=f"kubepods/pod{UID}/{'a' * 64}", container_id="a" * 64)
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class Desk:
    """A recorder with a real ledger and real metrics; ``posted`` is what waits for the sender."""

    def __init__(self, state: Path) -> None:
        self.ledger = Ledger.open(state, "boot")
        self.metrics = Metrics("1", process_metrics=False)
        self.pods: dict[str, Pod] = {UID: pod(main=1 << 28)}
        self.posted: list[Notice] = []
        self.now = 0.0
        self.schedule = Posted(self.posted)
        self.outbox = Outbox(
            self.ledger, self.metrics, self.schedule, lambda _: None, "boot", clock=lambda: self.now, unix_s=self.unix_s
        )
        self.failing = Failing(self.metrics, self.unix_s, ())
        events = KillEvents("node-1", self.ledger, self.outbox, self.pods.get, self.failing.advice, lambda _: None)
        self.recorder = Recorder(self.ledger, self.metrics, self.failing.settled, events.post)
        self.notices = ModeNotices("boot", self.metrics, self.outbox.post, self.unix_s)

    def unix_s(self) -> float:
        return NOW + self.now

    def deliver(self, outcome: str = "created") -> None:
        """The sender is done with the oldest, and another turn of the loop follows."""
        notice = self.posted.pop(0)
        self.outbox.delivered(EventDelivered(notice.name, outcome, notice.count))
        self.outbox.send_due()

    def value(self, line: str) -> float:
        """One sample of the page."""
        found = re.search(rf"^{re.escape(line)} (\S+)$", self.metrics.page()[1].decode(), re.MULTILINE)
        assert found is not None, f"no {line}"
        return float(found[1])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


def series(mode: str, scope: str) -> str:
    labels = f'container="herder",mode="{mode}",namespace="default",pod="herder-1",scope="{scope}"'
    return f"oomward_oom_kills_total{{{labels}}}"


def test_a_kill_is_recorded_counted_and_logged_at_once_and_posted_when_settled(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "oomward"):
        desk.recorder.findings(Findings(kills=(OPEN,)), 17)
    assert [kill.kill_id for kill in desk.ledger.kills()] == [OPEN.kill_id]
    assert desk.ledger.kmsg_sequence == 17
    assert desk.value(series("single", "container")) == 1
    assert [r.message.startswith("OOM kill in default/herder-1 container herder: ") for r in caplog.records] == [True]
    assert desk.posted == []
    desk.recorder.findings(Findings(settled=(replace(OPEN, outcome=Outcome.SURVIVED),)), 17)
    assert [n.reason.value for n in desk.posted] == ["ProcessOOMKilled"]
    assert desk.ledger.kills()[0].outcome is Outcome.SURVIVED
    assert desk.value(series("single", "container")) == 1


def test_processes_that_were_read_after_the_kill_are_in_its_row_its_last_line_and_its_event(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "oomward")
    desk.recorder.findings(Findings(kills=(OPEN,)), 17)
    settled = replace(OPEN, outcome=Outcome.SURVIVED, seen=(SeenProcess(17, "celery", "", ("tini",), ("",)),))
    desk.recorder.findings(Findings(settled=(settled,), completed=(settled,)), 17)
    (row,) = desk.ledger.kills()
    assert (row.seen, row.outcome) == (settled.seen, Outcome.SURVIVED)
    text = "not seen before it was killed; in the container: celery ← tini"
    assert [text in record.message for record in caplog.records] == [False, True]
    assert text in desk.posted[0].note


def events_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """The fields of the log's lines about kills."""
    found = [getattr(record, "fields", {}) for record in caplog.records]
    return [fields for fields in found if "event" in fields]


SAID = ("namespace", "pod", "container", "scope", "outcome", "kill_id")


def test_the_last_line_of_a_kill_has_all_that_is_known_and_there_is_one_of_each(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "oomward")
    settled = replace(OPEN, outcome=Outcome.SURVIVED, use=USED)
    desk.recorder.findings(Findings(kills=(replace(OPEN, use=USED),)), 17)
    desk.recorder.findings(Findings(settled=(settled,)), 17)
    first, last = events_of(caplog)
    assert (first["event"], first["outcome"], last["event"]) == ("oom_kill", None, "oom_kill_settled")
    said = ("default", "herder-1", "herder", "container", "survived", OPEN.kill_id)
    assert tuple(last[name] for name in SAID) == said
    assert last["memory"] == asdict(kill_record(settled))["memory"] is not None
    assert last["victims"][0]["comm"] == "worker"  # type: ignore[index]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert [record.message.count("OOM kill in ") for record in caplog.records] == [1, 0], (
        "a search counts each kill once"
    )
    assert caplog.records[1].message == (
        "OOM kill settled in default/herder-1 container herder: worker (PID 4312, 180.2 MiB), scope container "
        "(limit 256 MiB), container survived, memory then: 241 MiB processes, 9 MiB page cache, 6 MiB kernel"
    )


def test_a_kill_whose_outcome_nobody_saw_and_one_of_the_node_have_their_last_line_too(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "oomward")
    desk.recorder.findings(Findings(kills=(OPEN, HOST), settled=(OPEN, HOST)), 17)
    assert [fields["event"] for fields in events_of(caplog)] == ["oom_kill"] * 2 + ["oom_kill_settled"] * 2
    assert all(record.message.endswith("outcome not known") for record in caplog.records[2:])


def test_the_last_line_of_a_kill_waits_for_its_pods_name(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "oomward")
    unnamed = replace(OPEN, namespace=None, pod=None, pod_uid=None, container=None, outcome=Outcome.DIED)
    desk.recorder.findings(Findings(kills=(unnamed,), settled=(unnamed,)), 17)
    assert [fields["event"] for fields in events_of(caplog)] == ["oom_kill"]
    desk.recorder.name(lambda _: Identity("default", "herder-1", UID, "herder", "a" * 64), NOW)
    assert [(f["event"], f["pod"]) for f in events_of(caplog)][1:] == [("oom_kill_settled", "herder-1")]


def test_late_details_are_a_line_that_no_search_for_kills_counts(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "oomward")
    desk.recorder.findings(Findings(amended=(OPEN,)), None)
    assert [fields["event"] for fields in events_of(caplog)] == ["oom_kill_details"]
    assert "OOM kill" not in caplog.text


def test_while_the_ledgers_file_is_busy_a_kill_is_neither_counted_nor_logged_nor_posted(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    free = threading.Event()
    desk.ledger.checkpoint_in_background(free.set)
    desk.ledger.record((), (), 1)
    assert desk.ledger.commit() or (free.wait(PATIENCE_S) and desk.ledger.commit())
    checkpointer = desk.ledger._store._checkpointer
    assert checkpointer is not None
    settled = Findings(settled=(replace(OPEN, outcome=Outcome.SURVIVED),))
    with checkpointer._alone():
        free.clear()
        desk.recorder.findings(Findings(kills=(OPEN,)), 17)
        desk.recorder.findings(settled, 17)
        assert (desk.posted, caplog.records, desk.ledger.trouble) == ([], [], None)
        assert "oomward_oom_kills_total{" not in desk.metrics.page()[1].decode()
    assert free.is_set(), "the loop is woken"
    desk.recorder.findings(Findings(), 17)
    assert desk.value(series("single", "container")) == 1
    assert len(caplog.records) == 1
    assert len(desk.posted) == 1


def test_the_events_note_has_the_pods_limits_and_no_number_that_changes_while_its_count_rises(desk: Desk) -> None:
    earlier = replace(OPEN, ordinal=0, at_unix_s=NOW - 3500)
    long_ago = replace(OPEN, cgroup_inode=6, ordinal=9, at_unix_s=NOW - 3700)
    desk.recorder.findings(
        Findings(kills=(long_ago, earlier, OPEN), settled=(replace(OPEN, outcome=Outcome.DIED),)), None
    )
    (notice,) = desk.posted
    assert "hour" not in notice.note
    assert "main 256 MiB" in notice.note
    assert notice.reason.value == "ContainerOOMKilled"


def test_the_events_note_names_the_empty_dir_in_memory_that_filled_the_limit(desk: Desk) -> None:
    one = desk.pods[UID]
    main = replace(one.containers[0], name="herder", memory_volumes=(MemoryVolume("cache", 1 << 30),))
    desk.pods[UID] = replace(one, containers=(main,))
    full = MemoryUse(anon=1 << 20, shmem=255 << 20)
    desk.recorder.settled(replace(OPEN, outcome=Outcome.SURVIVED, use=full))
    assert "files in emptyDir cache (in memory, sizeLimit 1 GiB)" in desk.posted[0].note


def test_a_kill_of_a_pod_that_is_not_known_any_more_is_posted_without_limits(desk: Desk) -> None:
    desk.pods.clear()
    desk.recorder.settled(replace(OPEN, outcome=Outcome.DIED))
    assert desk.posted[0].about.name == "herder-1"
    assert "Memory limits of" not in desk.posted[0].note


@pytest.mark.parametrize("kill", [HOST, SERVICE, replace(HOST, scope=None, cgroup_path="")])
def test_a_kill_outside_of_pods_is_the_nodes(desk: Desk, kill: object) -> None:
    """Also where a service of the node reached a limit of its own."""
    desk.recorder.findings(Findings(kills=(kill,), settled=(kill,)), None)  # type: ignore[arg-type]
    assert desk.value("oomward_host_oom_kills_total") == 1
    assert "oomward_oom_kills_total{" not in desk.metrics.page()[1].decode()
    (notice,) = desk.posted
    assert (notice.about.kind, notice.about.name, notice.about.namespace, notice.about.uid) == (
        "Node",
        "node-1",
        "",
        "node-1",
    )


def test_a_kill_in_pods_that_no_container_is_known_for_is_no_host_kill(desk: Desk) -> None:
    lost = replace(
        LOST, namespace=None, pod=None, pod_uid=None, container=None, container_id=None, cgroup_path="kubepods"
    )
    desk.recorder.findings(Findings(kills=(lost,), unattributed=(lost,)), None)
    assert desk.value("oomward_host_oom_kills_total") == 0
    assert desk.value("oomward_unattributed_oom_kills_total") == 1


def test_details_that_come_late_are_amended_and_nothing_is_counted_again(desk: Desk) -> None:
    bare = replace(OPEN, victims=(), details_missing=True)
    desk.recorder.findings(Findings(kills=(bare,)), None)
    desk.recorder.findings(Findings(amended=(replace(OPEN, use=MemoryUse(anon=7)),)), None)
    assert desk.ledger.kills()[0].victims == OPEN.victims
    assert desk.value(series("single", "container")) == 1
    labels = 'container="herder",kind="anon",namespace="default",pod="herder-1"'
    assert desk.value(f"oomward_last_oom_kill_memory_bytes{{{labels}}}") == 7


def test_a_group_kill_counts_its_processes(desk: Desk) -> None:
    desk.recorder.findings(Findings(kills=(GROUP,)), None)
    assert desk.value(series("group", "container")) == 3


def test_reports_that_no_counter_asked_for_are_counted(desk: Desk) -> None:
    desk.recorder.findings(Findings(unmatched_reports=2), None)
    assert desk.value("oomward_unmatched_reports_total") == 2


def test_every_reason_is_posted_with_the_type_and_action_that_the_reference_gives(desk: Desk) -> None:
    one = desk.pods[UID]
    about = ObjectRef("Pod", one.name, one.namespace, one.uid)
    desk.recorder.settled(replace(OPEN, outcome=Outcome.SURVIVED))
    desk.recorder.settled(replace(OPEN, outcome=Outcome.DIED, ordinal=2))
    desk.notices.applied(one, "main", Mode.SINGLE, 7, "label")
    desk.notices.invalid(one, InvalidSetting(Source.LABEL, "oomward.dev/mode", "x", None, "is not a mode"))
    desk.notices.failed(one, "it failed", "why")
    desk.notices.tolerance_exceeded(about, "main", Tolerance(5, 600.0), 7)
    desk.notices.killed_as_a_whole(about, "main", OnExceeded.RESTART, 7, "")
    desk.notices.killed_as_a_whole(about, "main", OnExceeded.RESTART, 7, "it would not go")
    found = {n.reason: ("Warning" if n.warning else "Normal", n.action) for n in desk.posted}
    assert found == {reason: how for reason, how in TYPES.items() if reason not in OF_PRESSURE}
    assert desk.value("oomward_modes_invalid_total") == 1
    assert desk.value("oomward_modes_failed_total") == 1
    assert (
        desk.value(f'oomward_tolerance_exceeded_total{{container="main",namespace="{one.namespace}",pod="{one.name}"}}')
        == 1
    )
    for why in ("tolerance", "failed"):
        assert desk.value(f'oomward_containers_killed_total{{reason="{why}"}}') == 1


def test_what_happened_has_one_name_for_ever_and_what_differs_another(desk: Desk) -> None:
    one = desk.pods[UID]
    for mode, inode in ((Mode.SINGLE, 7), (Mode.SINGLE, 7), (Mode.GROUP, 7), (Mode.SINGLE, 8)):
        desk.notices.applied(one, "main", mode, inode, "label")
    assert len({n.name for n in desk.posted}) == 3
    assert len(desk.posted) == 3, "what is under way already is not handed over again"


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?){0,3}\Z"))
def test_whatever_a_pod_is_called_its_events_names_are_good(desk: Desk, name: str) -> None:
    desk.posted.clear()
    desk.schedule.room = 1000
    one = replace(desk.pods[UID], name=name[:253].rstrip("-."))
    desk.recorder.settled(
        replace(
            OPEN,
            pod=one.name,
            boot_id="1b4e28ba-2fa1-11d2-883f-0016d3cca427",
            cgroup_inode=123456,
            ordinal=12,
            outcome=Outcome.DIED,
        )
    )
    desk.notices.failed(one, "x", name)
    for notice in desk.posted:
        assert len(notice.name) <= 253
        assert SUBDOMAIN.fullmatch(notice.name)


def test_a_name_that_is_cut_does_not_end_in_a_dash_or_a_dot(desk: Desk) -> None:
    desk.recorder.settled(replace(OPEN, pod="x" * 178 + "--.-yyyy", outcome=Outcome.DIED))
    assert SUBDOMAIN.fullmatch(desk.posted[0].name)


def test_a_full_schedule_loses_nothing_and_gets_the_rest_when_there_is_room(desk: Desk) -> None:
    desk.schedule.room = 2
    for i in range(5):
        desk.recorder.settled(replace(OPEN, container=f"c{i}", ordinal=i, at_unix_s=NOW + i, outcome=Outcome.DIED))
    assert len(desk.posted) == 2
    assert len(desk.ledger.undelivered()) == 5
    order = []
    while desk.posted:
        order.append(desk.posted[0].at_unix_s - NOW)
        desk.deliver()
    assert order == [0, 1, 2, 3, 4]
    assert desk.ledger.undelivered() == []
    assert desk.value('oomward_events_total{outcome="created"}') == 5
    assert desk.value("oomward_events_pending") == 0


def test_when_all_that_was_under_way_is_done_with_all_the_rest_is_handed_over(desk: Desk) -> None:
    desk.schedule.room = 1
    for i in range(4):
        desk.recorder.settled(replace(OPEN, container=f"c{i}", ordinal=i, at_unix_s=NOW + i, outcome=Outcome.DIED))
    desk.schedule.room = 9
    desk.deliver()
    assert [notice.at_unix_s - NOW for notice in desk.posted] == [1, 2, 3]


def test_what_is_dropped_for_good_is_not_handed_over_again(desk: Desk) -> None:
    desk.recorder.settled(replace(OPEN, outcome=Outcome.DIED))
    desk.deliver("dropped_gone")
    desk.outbox.refill()
    assert desk.posted == []
    assert desk.value('oomward_events_total{outcome="dropped_gone"}') == 1


def test_what_an_earlier_agent_left_is_handed_over_once(desk: Desk, tmp_path: Path) -> None:
    desk.schedule.room = 0
    desk.recorder.settled(replace(OPEN, outcome=Outcome.DIED))
    desk.ledger.close()
    after = Desk(tmp_path)
    for _ in range(2):
        after.outbox.refill()
    assert len(after.posted) == 1
    after.ledger.close()


@pytest.mark.parametrize("outcome", list(WriteOutcome))
def test_each_attempt_at_a_knob_is_counted(desk: Desk, outcome: WriteOutcome) -> None:
    desk.metrics.oom_group_writes.labels(outcome).inc()
    assert desk.value(f'oomward_oom_group_writes_total{{outcome="{outcome.value}"}}') == 1


@pytest.mark.parametrize("scope", sorted(NOT_OWN_SCOPES))
def test_a_kill_of_a_container_by_the_nodes_shortage_is_its_pods_event(desk: Desk, scope: Scope) -> None:
    desk.recorder.settled(replace(OPEN, scope=scope, outcome=Outcome.DIED))
    assert desk.posted[0].about.kind == "Pod"
    assert "not the container's fault" in desk.posted[0].note


def unnamed(desk: Desk) -> OomKill:
    kill = replace(OPEN, namespace=None, pod=None, pod_uid=None, container=None, container_id="c" * 64)
    desk.ledger.record([kill], [], None)
    desk.recorder.settled(replace(kill, outcome=Outcome.SURVIVED))
    return kill


def test_a_kill_from_before_the_api_was_reached_gets_its_pod_and_its_event_when_the_api_names_it(desk: Desk) -> None:
    kill = unnamed(desk)
    desk.recorder.name(lambda _: Identity(container_id="c" * 64), NOW + 60)
    assert desk.posted == []
    assert [one.kill_id for one in desk.ledger.without_event()] == [kill.kill_id], "also an agent that starts now waits"
    known = Identity(OPEN.namespace, OPEN.pod, OPEN.pod_uid, OPEN.container, "c" * 64)
    desk.recorder.name(lambda _: known, NOW + 120)
    desk.recorder.name(lambda _: known, NOW + 120)
    (notice,) = desk.posted
    assert (notice.about.name, notice.reason.value) == (OPEN.pod, "ProcessOOMKilled")
    (recorded,) = desk.ledger.kills()
    assert (recorded.pod, recorded.container, recorded.outcome) == (OPEN.pod, OPEN.container, Outcome.SURVIVED)
    assert desk.ledger.without_event() == []


def test_kills_that_wait_for_a_name_are_bounded_and_a_pod_with_very_many_pushes_out_nobody_elses(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MOST_UNNAMED", 10)
    honest = unnamed(desk)
    for i in range(50):
        path = f"kubepods/burstable/pod{UID[:-1]}0/{'d' * 64}"
        desk.recorder.settled(replace(honest, cgroup_path=path, cgroup_inode=99, ordinal=i))
    assert len(desk.recorder._unnamed) == 10
    assert honest.kill_id in desk.recorder._unnamed


def test_a_virtual_machine_is_not_given_the_name_of_its_pods_only_container(desk: Desk) -> None:
    """The API names the pod after the kill of what is in none of its containers' cgroups."""
    kill = replace(OPEN, namespace=None, pod=None, pod_uid=None, container=None, container_id=None)
    kill = replace(kill, sandbox=True, scope=Scope.POD, cgroup_path=OPEN.cgroup_path.rpartition("/")[0])
    desk.ledger.record([kill], [], None)
    desk.recorder.settled(replace(kill, outcome=Outcome.DIED))
    known = Identity(OPEN.namespace, OPEN.pod, OPEN.pod_uid, OPEN.container)
    desk.recorder.name(lambda _: known, NOW + 3)
    (notice,) = desk.posted
    assert (notice.about.kind, notice.about.name) == ("Pod", OPEN.pod)
    assert "in the pod's sandbox, which is none of its containers, at the pod's memory limit" in notice.note


@pytest.mark.parametrize("named_after_s", [3.0, None])
def test_a_kill_in_a_pod_that_the_api_names_soon_is_counted_for_that_pod(
    desk: Desk, named_after_s: float | None
) -> None:
    kill = replace(OPEN, namespace=None, pod=None, pod_uid=None, container=None)
    desk.recorder.findings(Findings(kills=(kill,)), None, 100.0)
    assert desk.recorder.due_s() == 110.0
    if named_after_s is not None:
        known = Identity(OPEN.namespace, OPEN.pod, OPEN.pod_uid, OPEN.container, OPEN.container_id)
        desk.recorder.name(lambda _: known, NOW + named_after_s)
    for now_s in (110.0, 111.0):
        desk.recorder.findings(Findings(), None, now_s)
    counted = {labels: value for labels, value in counts(desk).items() if value}
    assert counted == {(OPEN.namespace, OPEN.pod, OPEN.container) if named_after_s else ("", "", ""): 1.0}
    assert desk.recorder.due_s() is None


def counts(desk: Desk) -> dict[tuple[str | None, ...], float]:
    """Of oomward_oom_kills_total, by namespace, pod and container."""
    (family,) = (family for family in desk.metrics.registry.collect() if family.name == "oomward_oom_kills")
    found: dict[tuple[str | None, ...], float] = {}
    for sample in family.samples:
        if sample.name.endswith("_total"):
            key = tuple(sample.labels[name] for name in ("namespace", "pod", "container"))
            found[key] = found.get(key, 0.0) + sample.value
    return found


def test_a_kill_that_nobody_names_within_an_hour_gets_no_event(desk: Desk) -> None:
    unnamed(desk)
    desk.recorder.name(lambda _: Identity(), NOW + 3700)
    assert (desk.posted, desk.ledger.without_event(), desk.recorder._unnamed) == ([], [], {})


def test_a_kill_in_a_sandbox_is_said_to_be_in_the_sandbox(desk: Desk) -> None:
    victims = (Victim(9, "paws"),)
    kill = replace(OPEN, container=None, container_id="5" * 64, outcome=Outcome.DIED, victims=victims, sandbox=True)
    desk.recorder.settled(kill)
    (notice,) = desk.posted
    assert "in the pod's sandbox, which is none of its containers," in notice.note
    assert "The sandbox died" in notice.note
    assert "container died" not in notice.note.lower()
