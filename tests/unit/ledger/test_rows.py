"""Every field of every record comes back as it went in, whatever text a kernel or a user put there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ledger import Ledger
from agent.ledger.rows import BadRowError, kill_of, kill_row, notice_of
from agent.model import (
    Baseline,
    ContainerUse,
    KeptDecision,
    MemoryUse,
    Mode,
    Notice,
    ObjectRef,
    OomKill,
    Original,
    SeenProcess,
    TaskRow,
    Victim,
)
from tests.unit.ledger.records import BOOT, a_kill
from tests.unit.profiles import examples

# Bytes that were no UTF-8 stand in text as lone surrogates U+DC80 to U+DCFF (os.fsdecode).
text = st.text(max_size=12) | st.binary(max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
sizes = st.none() | st.integers(0, 2**62)
times = st.floats(0, 4e9)
victims = st.builds(Victim, st.integers(0, 2**22), text, sizes, sizes, sizes, sizes, sizes, st.integers(-1000, 1000))
kills = st.builds(
    OomKill,
    boot_id=st.uuids().map(str),
    cgroup_inode=st.integers(0, 2**63),
    ordinal=st.integers(1, 2**31),
    at_unix_s=times,
    node=text,
    cgroup_path=text,
    processes=st.integers(0, 2**31),
    namespace=st.none() | text,
    pod=st.none() | text,
    pod_uid=st.none() | text,
    container=st.none() | text,
    container_id=st.none() | text,
    victims=st.lists(victims, max_size=3).map(tuple),
    largest=st.lists(st.builds(TaskRow, st.integers(0, 2**22), text, st.integers(0, 2**62)), max_size=2).map(tuple),
    limit_bytes=sizes,
    usage_bytes=sizes,
    sources=st.frozensets(st.sampled_from(("counters", "kmsg", "hierarchy"))),
    report_sequence=sizes,
    use=st.none() | st.builds(MemoryUse, *[sizes] * 8, st.booleans()),
    containers=st.lists(st.builds(ContainerUse, st.none() | text, st.integers(0, 2**62)), max_size=2).map(tuple),
)
notices = st.builds(Notice, name=text, about=st.builds(ObjectRef, text, text, text, text), note=text, at_unix_s=times)
inodes = st.integers(1, 2**62)
baselines = st.builds(Baseline, inodes, text, *[st.integers(0, 2**62)] * 5)
originals = st.builds(Original, inodes, text, st.integers(0, 1), text, times)
decisions = st.builds(KeptDecision, st.just("u"), text, text, text, text, st.none() | text, st.sampled_from(Mode), text)


@examples(60)
@given(kills, notices, baselines, originals, decisions)
def test_everything_comes_back_as_it_went_in(
    kill: OomKill, notice: Notice, baseline: Baseline, original: Original, decision: KeptDecision
) -> None:
    with TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder), BOOT, 0.0)
        ledger.record([kill], [baseline], 1)
        assert ledger.commit()
        assert ledger.queue(notice)
        ledger.remember_original(original)
        ledger.keep_decisions("u", [decision])
        assert ledger.trouble is None
        ledger.close()
        again = Ledger.open(Path(folder), BOOT, 0.0)
        try:
            assert again.kills() == [kill]
            assert again.kills(namespace=kill.namespace, pod=kill.pod) == [kill]
            assert again.undelivered() == [notice]
            assert again.baselines() == {baseline.inode: baseline}
            assert again.originals() == (original,)
            assert again.kept_decisions() == (decision,)
            expected = kill.processes if kill.namespace is not None and kill.pod is not None else None
            assert list(again.totals().values()) == ([] if expected is None else [expected])
        finally:
            again.close()


def test_fields_of_a_newer_version_are_left_out() -> None:
    body = json.loads(str(kill_row(a_kill())[-1]))
    body["colour"] = "red"
    body["victims"][0]["shoe_size"] = 44
    assert kill_of(json.dumps(body), None) == a_kill()


def test_a_scope_of_a_newer_version_is_not_known_and_the_kill_is_kept() -> None:
    body = json.loads(str(kill_row(a_kill())[-1])) | {"scope": "galaxy"}
    assert kill_of(json.dumps(body), None) == replace(a_kill(), scope=None)


def test_processes_that_were_seen_come_back_as_they_were() -> None:
    kill = replace(
        a_kill(), seen=(SeenProcess(1, "a", "a -b \udcff", ("sh", "tini"), ("sh -c x", ""), 7), SeenProcess(2, "b"))
    )
    body = str(kill_row(kill)[-1])
    assert kill_of(body, None) == kill
    old = json.loads(body)
    del old["seen"][0]["parent_commands"]
    assert kill_of(json.dumps(old), None).seen[0].parent_commands == ()


@pytest.mark.parametrize("body", ["{", "[]", "{}", "null"])
def test_what_is_no_record_is_a_bad_row(body: str) -> None:
    with pytest.raises(BadRowError):
        kill_of(body, None)
    with pytest.raises(BadRowError):
        notice_of(body)
