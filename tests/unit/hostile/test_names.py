"""Names made to break what shows them, from the API's JSON and the kernel's bytes to the metrics page, the log and the Event."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse_text

from agent.events.sender import event_body
from agent.kernel.kmsg import parse_record
from agent.kernel.oom_blocks import OomBlocks
from agent.kernel.oom_report import reports_of
from agent.model import OomReport
from agent.pods.parse import parse_pod
from agent.wording.logs import JsonFormatter, TextFormatter
from tests.lab.apievents import problems
from tests.unit.loop.world import CONTAINER, ID, UID, World
from tests.unit.wording.test_kills import harmless

CRUEL = (
    "\x1b[2J\x1b]0;owned\x07",
    "a\nlevel=error msg=fake",
    'x"} 99999\noomward_oom_kills_total{pod="y',
    "\\",
    '\\"',
    "\u202egnp.exe",
    "\u2028\u2029",
    "\r\x08\x08",
    "%s%n{0}",
    "[red]bold[/red]",
    "💀" * 400,
    "é" * 300,
    "\x00",
    "'; DROP TABLE kill; --",
    "../../etc/passwd",
    " ",
)
NAMES = st.sampled_from(CRUEL) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
COMMS = st.sampled_from(
    [b"\x1b[2J", b"Killed process ", b"oom_memcg=/,x", b"a\nb", b"\xff\xfe", b",task=", b"(x) total-vm:", b"\\x5c"]
) | st.binary(min_size=1, max_size=15)


def escaped(raw: bytes) -> str:
    """As /dev/kmsg writes a name (kernel/printk/printk.c, msg_add_ext_text)."""
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in raw[:15].replace(b"\0", b"?"))


def reports(comm: bytes) -> list[OomReport]:
    """What the kernel says of a kill of such a process in the container."""
    name = escaped(comm)
    lines = (
        f"4,1,1000000,-;{name} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
        "6,2,1000001,-;[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
        f"6,3,1000002,-;[   4312]  1000  4312   100000    46080   204800        0             0 {name}",
        "6,4,1000003,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c,mems_allowed=0,"
        f"oom_memcg=/{CONTAINER},task_memcg=/{CONTAINER},task={name},pid=4312,uid=1000",
        f"3,5,1000004,-;Memory cgroup out of memory: Killed process 4312 ({name}) total-vm:400000kB, "
        "anon-rss:184320kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:200kB oom_score_adj:0",
    )
    blocks = OomBlocks(4096, clock_us=lambda: 1_000_004)
    ended = [block for line in lines for block in blocks.feed(parse_record(line.encode()))]
    return [report for block in (*ended, *blocks.flush(None)) for report in reports_of(block)]


def pod_json(namespace: str, name: str, container: str, label: str, key: str) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": UID,
            "namespace": namespace,
            "name": name,
            "labels": {"oomward.dev/mode": label, key: label},
            "annotations": {f"mode.oomward.dev/{key}": label, "oomward.dev/tolerate": label},
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": container, "image": key}]},
        "status": {
            "containerStatuses": [{"name": container, "containerID": f"containerd://{ID}", "state": {"running": {}}}]
        },
    }


@contextmanager
def logged() -> Iterator[tuple[StringIO, StringIO]]:
    """What the agent's log says meanwhile, as JSON and as text."""
    logger = logging.getLogger("oomward")
    level, logger.level = logger.level, logging.DEBUG
    made = StringIO(), StringIO()
    handlers = [logging.StreamHandler(file) for file in made]
    handlers[0].setFormatter(JsonFormatter())
    handlers[1].setFormatter(TextFormatter())
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield made
    finally:
        logger.level = level
        for handler in handlers:
            logger.removeHandler(handler)


@given(NAMES, NAMES, NAMES, NAMES, NAMES, COMMS)
@example("default", CRUEL[2], CRUEL[2], CRUEL[1], CRUEL[0], b"\x1b[2J")
@example(CRUEL[10], CRUEL[10], CRUEL[10], CRUEL[10], CRUEL[10], b"\xf0\x9f\x92\x80" * 4)
def test_no_name_breaks_page_log_or_event(
    namespace: str, name: str, container: str, label: str, key: str, comm: bytes
) -> None:
    with TemporaryDirectory() as folder, logged() as (as_json, as_text):
        world = World(Path(folder))
        try:
            world.told(parse_pod(pod_json(namespace, name, container, label, key)))
            world.make(knob=1)
            world.kill()
            world.node.kills.reports(reports(comm), world.now)
            world.turn(after_s=6)
            world.turn(after_s=1)
            (kill,) = world.ledger.kills()
            assert (kill.namespace, kill.pod, kill.container) == (namespace, name, container)
            assert (kill.processes, kill.victims[0].pid) == (1, 4312)
            check_page(world, namespace, name, container)
            check_events(world)
        finally:
            world.end()
    check_log(as_json.getvalue(), as_text.getvalue())


def check_page(world: World, namespace: str, name: str, container: str) -> None:
    """Each sample is one line, and the kill's labels come back as they were."""
    page = world.metrics.page()[1].decode()
    lines = [line for line in page.split("\n") if line and not line.startswith("#")]
    samples = [sample for family in parse_text(page) for sample in family.samples]
    assert len(samples) == len(lines)
    assert all(sample.name.startswith("oomward_") for sample in samples)
    killed = [s.labels for s in samples if s.name == "oomward_oom_kills_total" and s.value == 1]
    assert [(k["namespace"], k["pod"], k["container"]) for k in killed] == [(namespace, name, container)]


def check_events(world: World) -> None:
    """Each Event passes the API's validation but for what its pod's own name can't be, and does a terminal no harm."""
    assert world.posted
    for notice in world.posted:
        body = event_body(notice, "node-1")
        assert harmless(str(body["note"]))
        assert len(str(body["note"]).encode()) <= 1024
        body["metadata"] = {"name": "a", "namespace": "default"}
        body["regarding"] = {"kind": "Pod", "name": "a", "namespace": "default"}
        assert problems(json.loads(json.dumps(body)), "default") == []


def check_log(as_json: str, as_text: str) -> None:
    """A record is one line that a JSON reader takes, or that a terminal does."""
    assert as_json.isascii()
    records = [json.loads(line) for line in as_json.splitlines()]
    assert any(record.get("event") == "oom_kill" for record in records)
    lines = as_text.splitlines()
    assert len(lines) == len(records)
    assert all(
        re.match(r"\d\d:\d\d:\d\d\.\d{3} (DEBUG|INFO|WARNING|ERROR) ", line) and harmless(line) for line in lines
    )


@pytest.mark.parametrize("field", ["namespace", "name", "container"])
def test_half_a_character_in_a_name_is_refused_at_the_door(field: str) -> None:
    names = {"namespace": "n", "name": "p", "container": "c"} | {field: "\ud800"}
    with pytest.raises(ValueError, match="half a character"):
        parse_pod(pod_json(names["namespace"], names["name"], names["container"], "single", "k"))
