"""Builds the rooms, starts the threads, handles signals and the end. No logic of its own."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from agent import __version__
from agent.cgroup.files import CgroupFiles
from agent.cgroup.killing import kill_container
from agent.cgroup.layout import LOCAL_EVENTS, LOCAL_EVENTS_ADVICE, Hierarchy, find_hierarchy
from agent.cgroup.tree import Tree
from agent.diagnose.failing import HOUR_S, Failing
from agent.events.kill_events import KillEvents
from agent.events.outbox import Outbox
from agent.events.schedule import Schedule
from agent.events.sender import EventSender
from agent.kernel.kmsg import Kmsg, boot_id
from agent.kernel.limits import raise_open_files
from agent.kills.recorder import Recorder
from agent.kube.api import connect
from agent.ledger import AgentLock, Ledger
from agent.loop import Node
from agent.loop.log_reader import LogReader
from agent.loop.loop import STUCK_S, Loop
from agent.loop.mailbox import Mailbox
from agent.loop.realtime import RealTime
from agent.loop.v1 import V1Counters
from agent.metrics.health import Heartbeat, health
from agent.metrics.http import StatusServer
from agent.metrics.metrics import Metrics
from agent.model import ThreadDied
from agent.modes.consequences import Consequences
from agent.modes.enforcer import Enforcer
from agent.modes.notices import ModeNotices
from agent.modes.restarts import Restarts
from agent.pods.registry import Registry
from agent.pods.watch import PodWatch
from agent.settings import PageGuards, RulesFile, Settings
from agent.wording.logs import setup

logger = logging.getLogger("oomward")

POD_WATCH_SILENT_S = 300.0  # a watch that has said nothing for that long, with a read time-out of 120 s, hangs
POSTER_SILENT_S = 300.0
SWITCH_INTERVAL_S = 0.0005  # the interpreter's 5 ms would let the reading of a long list keep the loop waiting


def run(settings: Settings) -> int:
    """The DaemonSet's process: until SIGTERM or SIGINT (returns 0). What must not end and does raises out of here.

    SettingsError: a file that the settings name is wrong, and nothing was begun.
    """
    setup(settings.log_format, settings.log_level)
    guards = PageGuards(settings)
    with AgentLock(settings.state_dir, settings.node_name) as lock:
        if lock.trouble:
            logger.warning(lock.trouble)
        return _run_locked(settings, guards)


def _run_locked(settings: Settings, guards: PageGuards) -> int:
    raise_open_files()
    mailbox, stop = Mailbox(), threading.Event()
    metrics = Metrics(__version__)
    boot = boot_id()
    ledger = Ledger.open(settings.state_dir, boot)
    ledger.checkpoint_in_background(mailbox.wake)
    metrics.seed(ledger.totals(), time.monotonic())

    hierarchy = _find_hierarchy(settings)
    files = CgroupFiles(hierarchy.memory_mount, hierarchy.version)
    tree = Tree(files, root_override=settings.cgroup_roots)
    v1 = V1Counters(hierarchy.memory_mount, logger.warning) if hierarchy.version == "v1" else None
    log = _open_log(settings.kmsg, ledger, boot, metrics)
    api = connect(
        settings.kubeconfig, user_agent=f"oomward/{__version__} (node {settings.node_name})", lax_ca=settings.api_lax_ca
    )
    sender = EventSender(api, mailbox.put, reporting_instance=settings.node_name)
    watch = PodWatch(api, settings.node_name, mailbox.put, stop=stop)
    registry = Registry(ledger.kept_decisions())
    schedule = Schedule(settings.event_budget_pod, settings.event_budget_node)
    outbox = Outbox(ledger, metrics, schedule, sender.send, boot)
    failing = Failing(metrics, time.time, ledger.kills(since_unix_s=time.time() - HOUR_S))
    kill_events = KillEvents(settings.node_name, ledger, outbox, registry.pods.get, failing.advice, time.time)
    notices = ModeNotices(boot, metrics, outbox.post, time.time)
    node = Node(
        name=settings.node_name,
        boot_id=boot,
        rules=settings.rules,
        files=files,
        tree=tree,
        ledger=ledger,
        metrics=metrics,
        enforcer=Enforcer(files, ledger, time.time),
        registry=registry,
        recorder=Recorder(ledger, metrics, failing.settled, kill_events.post),
        notices=notices,
        outbox=outbox,
        failing=failing,
        consequences=Consequences(
            ledger,
            Restarts(lambda container: kill_container(files, container)),
            notices,
            registry.pods.get,
            emulate_group=settings.emulate_group_on_v1 and hierarchy.version == "v1",
        ),
        kmsg=log.trouble is None,
        announce_applied=settings.mode_applied_events,
        v1=v1,
    )
    rules = RulesFile(settings.config) if settings.config is not None else None
    real_time = RealTime(metrics, wanted=settings.real_time)
    loop = Loop(node, tree, log, mailbox, ledger, rules, settings, v1, real_time)
    beats = (
        Heartbeat("loop", lambda: loop.last_beat_monotonic_s, STUCK_S),
        Heartbeat("pod watch", lambda: watch.last_beat_monotonic_s, POD_WATCH_SILENT_S),
        Heartbeat("event poster", lambda: sender.last_beat_monotonic_s, POSTER_SILENT_S),
    )
    server = StatusServer(
        settings.listen,
        metrics.page,
        lambda: health(beats, time.monotonic()),
        node.ready,
        guards,
        real_time.check_budget,
    )
    for beat in beats:
        metrics.heartbeat(beat.thread, lambda beat=beat: time.time() - time.monotonic() + beat.last_monotonic_s())  # type: ignore[misc]
    metrics.kmsg_readable(log.trouble is None)
    _handle_signals(loop)
    server.start()
    logger.info(
        "oomward %s watches node %s: cgroup %s below %s",
        __version__,
        settings.node_name,
        hierarchy.version,
        hierarchy.memory_mount,
    )
    try:
        for name, body in (("pod watch", watch.run), ("event poster", sender.run)):
            threading.Thread(target=_body(name, body, mailbox, stop), name=name, daemon=True).start()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        real_time.start()
        loop.run()
    finally:
        stop.set()
        sender.stop()
        server.close()
        ledger.close()
        log.close()
        tree.close()
        if v1 is not None:
            v1.close()
        files.close()
    logger.info("stopped; the values of memory.oom.group stay as they are")
    return 0


def _find_hierarchy(settings: Settings) -> Hierarchy:
    hierarchy = find_hierarchy(settings.cgroup_mount)
    if hierarchy.local_events:
        logger.warning("cgroup2 is %s. %s", LOCAL_EVENTS, LOCAL_EVENTS_ADVICE)
    return hierarchy


def _open_log(path: Path, ledger: Ledger, boot: str, metrics: Metrics) -> LogReader:
    """The kernel's log from where the ledger left off; said, where it can't be read yet."""
    used = [k.report_sequence for k in ledger.kills(limit=5000) if k.report_sequence is not None and k.boot_id == boot]
    log = LogReader(partial(Kmsg, path), ledger.kmsg_sequence, metrics, used)
    if log.trouble is not None:
        logger.warning("%s Kills are counted without the names of their processes.", log.trouble)
    return log


def _body(name: str, body: Callable[[], None], mailbox: Mailbox, stop: threading.Event) -> Callable[[], None]:
    """A thread's end, however it comes, reaches the loop: it may only end when we stop."""

    def guarded() -> None:
        why = "it returned"
        try:
            body()
        except BaseException as error:
            logger.exception("the %s failed", name)
            why = f"{type(error).__name__}: {error}"
        if not stop.is_set():
            mailbox.put(ThreadDied(name, why))

    return guarded


def _handle_signals(loop: Loop) -> None:
    def end(signum: int, _frame: FrameType | None) -> None:
        logger.info("%s received: ending", signal.Signals(signum).name)
        loop.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
