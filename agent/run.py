"""Builds the rooms, starts the threads, handles signals and the end. No logic of its own."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType

from agent import __version__
from agent.cgroup.files import CgroupFiles
from agent.cgroup.killing import kill_container, kill_largest
from agent.cgroup.layout import LOCAL_EVENTS, LOCAL_EVENTS_ADVICE, Hierarchy, find_hierarchy
from agent.cgroup.psi import Psi
from agent.cgroup.tree import Tree
from agent.diagnose.failing import HOUR_S, Failing
from agent.events.kill_events import KillEvents
from agent.events.outbox import Outbox
from agent.events.schedule import Schedule
from agent.events.sender import EventSender
from agent.kernel.kmsg import boot_id, open_kmsg
from agent.kernel.limits import is_first_pid_namespace, raise_open_files
from agent.kernel.processes import first_process, largest
from agent.kills import Attribution
from agent.kills.recorder import Recorder
from agent.kube.api import connect
from agent.kube.backoff import Backoff
from agent.ledger import AgentLock, Ledger
from agent.loop.kills import Kills, error_counter
from agent.loop.log_reader import LogReader, recorded_reports
from agent.loop.loop import STUCK_S, Loop
from agent.loop.mailbox import Mailbox
from agent.loop.node import Node
from agent.loop.node_name import NodeName
from agent.loop.pods import Pods
from agent.loop.realtime import RealTime
from agent.loop.runtime import Runtime
from agent.loop.sources import sources_of
from agent.loop.v1 import V1Counters, V1Pressure
from agent.metrics.http import Heartbeat, StatusServer, health
from agent.metrics.metrics import Metrics
from agent.model import (
    Cgroup,
    KillAttempt,
    Pod,
    PressureRequest,
    ScopePolicy,
    SeenProcess,
    ThreadDied,
    Vanished,
)
from agent.modes.consequences import Consequences
from agent.modes.controller import ModeController
from agent.modes.creation import CreationModes
from agent.modes.enforcer import Enforcer
from agent.modes.kept import decided_again
from agent.modes.notices import ModeNotices
from agent.modes.scopes import Scopes
from agent.modes.stalls import pressure_request
from agent.pods.lookup import Lookup
from agent.pods.registry import Registry
from agent.pods.watch import PodWatch
from agent.pressure.following import Pressure
from agent.pressure.near import NearLimit
from agent.pressure.reached import Reached
from agent.pressure.readers import Readers
from agent.pressure.readings import Readings
from agent.pressure.report import Report
from agent.pressure.seen import SeenProcesses
from agent.pressure.stalls import Stalls
from agent.runtime.client import NriClient
from agent.runtime.oom_policy import OomPolicies
from agent.serve.answers import Answers
from agent.serve.server import CommandServer
from agent.settings import PageGuards, RulesFile, Settings
from agent.wording.logs import setup
from agent.wording.redact import Redaction

logger = logging.getLogger("oomward")

POD_WATCH_SILENT_S = 300.0  # a watch that has said nothing for that long, with a read time-out of 120 s, hangs
SENDER_SILENT_S = 300.0
SWITCH_INTERVAL_S = 0.0005  # the interpreter's 5 ms would let the reading of a long list keep the loop waiting


def build_node(
    settings: Settings,
    boot: str,
    files: CgroupFiles,
    ledger: Ledger,
    metrics: Metrics,
    outbox: Outbox,
    kill: Callable[[Cgroup], KillAttempt],
    *,
    kmsg: bool,
    v1: V1Counters | None = None,
    v1_pressure: V1Pressure | None = None,
    psi: Psi | None = None,
    scope_policy: Callable[[str], ScopePolicy | None] = lambda _path: None,
    systemd_loaded_ns: Callable[[], int | None] = lambda: None,
    unix_s: Callable[[], float] = time.time,
    processes: Callable[[Tree, Callable[[str], str]], SeenProcesses | None] = lambda _tree, _namespace_of: None,
) -> Node:
    """The rooms that the loop's thread owns. ``kill`` is cgroup.killing.kill_container; ``kmsg`` False: the log can't be read.

    ``psi`` None: the node has none. ``scope_policy`` and ``systemd_loaded_ns`` are of_cgroup and loaded_ns of OomPolicies.
    ``processes`` makes what reads a container's processes; None: they are not read.
    """
    name, values, on_error = settings.node_name, dict[str, int](), error_counter(metrics)
    tree = Tree(files, root_override=settings.cgroup_roots)
    registry = Registry(ledger.kept_decisions())
    registry.decide_again(partial(decided_again, rules=settings.rules))
    seen = processes(tree, lambda path: facts.names_at(path).namespace or "")
    facts = Lookup(files, registry, tree, values, on_error, *([seen.of_kill] if seen is not None else []))
    failing = Failing(metrics, unix_s, ledger.kills(since_unix_s=unix_s() - HOUR_S))
    kill_events = KillEvents(
        name,
        ledger,
        outbox,
        registry.pods.get,
        failing.advice,
        facts.ended_by_agent,
        arguments=settings.command_lines == "events",
    )
    notices = ModeNotices(boot, metrics, outbox.post, unix_s, settings.mode_applied_events)
    emulate_group = settings.emulate_group_on_v1 and files.version == "v1"
    consequences = Consequences(ledger, kill, notices, registry.ref, emulate_group, facts.ending)
    enforcer = Enforcer(files, ledger, unix_s)
    scopes = Scopes(scope_policy if files.version == "v2" else lambda _path: None, systemd_loaded_ns)
    modes = ModeController(
        settings.rules,
        files,
        tree,
        enforcer,
        registry,
        notices,
        metrics,
        facts,
        consequences,
        scopes,
        values,
        on_error,
        has_psi=psi is not None,
    )
    attribution = Attribution(boot, name, facts, ledger.baselines(), seen_this_boot=ledger.seen_this_boot, kmsg=kmsg)
    arguments = settings.command_lines in ("log", "events")
    recorder = Recorder(ledger, metrics, failing.settled, kill_events.post, arguments=arguments)
    near = NearLimit(files, seen.reached) if seen is not None else None
    pressure = _pressure(settings, boot, files, tree, facts, modes, metrics, outbox, psi, unix_s)
    reached = Reached(pressure.reached, *([seen.reached] if seen is not None else []))
    kills = Kills(
        boot, files.version, tree, facts, attribution, recorder, metrics, reached, seen, near, v1, v1_pressure
    )
    pods = Pods(registry, modes, ledger, failing, metrics, NodeName(name, registry))
    runtime = Runtime(registry, modes, tree, metrics, required=settings.nri == "required")
    node = Node(tree, ledger, metrics, outbox, modes, kills, pods, runtime, pressure)

    def between() -> None:
        node.between()  # the loop's, which comes later

    pressure.readings.between = between
    return node


def _pressure(
    settings: Settings,
    boot: str,
    files: CgroupFiles,
    tree: Tree,
    facts: Lookup,
    modes: ModeController,
    metrics: Metrics,
    outbox: Outbox,
    psi: Psi | None,
    unix_s: Callable[[], float],
) -> Pressure:
    """What follows the containers that reach their memory limit."""
    readings = Readings(files, psi.stalled_us if psi is not None else None, modes.on_error)

    def kill(container: Cgroup) -> tuple[KillAttempt, SeenProcess | None]:
        facts.learn_init(container)
        return kill_largest(files, container, largest, lambda pids: facts.init_pid(container) or first_process(pids))

    def request(pod: Pod, container: str) -> PressureRequest:
        return pressure_request(pod, container, modes.rules)

    report = Report(boot, metrics, outbox.post_again, readings.largest, unix_s, modes.registry.pods.get)
    stalls = Stalls(boot, metrics, outbox.post, readings.hits, kill, modes.consequences.end_stalled, unix_s)
    return Pressure(tree, facts, modes.registry, readings, psi, request, settings.pressure_events, report, stalls)


def build_processes(
    settings: Settings, files: CgroupFiles, tree: Tree, namespace_of: Callable[[str], str]
) -> SeenProcesses | None:
    """What reads the processes of containers at their limit. ``files``: of its own, its threads use them. ``namespace_of``: see
    SeenProcesses. None: it is off, or the kernel's pids are not ours (without hostPID).
    """
    if settings.command_lines == "off" or is_first_pid_namespace() is not True:
        return None
    redaction = None if settings.command_lines == "names" else Redaction(settings.redact_patterns)
    readers = Readers()
    return SeenProcesses(
        partial(_pids, files),
        tree.containers,
        redaction,
        readers.submit,
        release=readers.release,
        namespace_of=namespace_of,
    )


def _pids(files: CgroupFiles, cgroup: Cgroup) -> tuple[int, ...]:
    pids = files.pids(cgroup)
    return () if isinstance(pids, Vanished) else pids


def build_nri(settings: Settings, node: Node, mailbox: Mailbox, files: CgroupFiles) -> NriClient | None:
    """What answers the runtime, in a thread of its own. None: nri is off."""
    if settings.nri == "off":
        return None
    registry, modes, metrics = node.pods.registry, node.modes, node.metrics
    creation = CreationModes(registry, lambda: modes.rules, modes.in_force, files.version, modes.created.without_us)
    client = NriClient(settings.nri_socket, settings.nri_index, creation.oom_group, mailbox.put, metrics, Backoff())
    node.look_for_runtime = client.look
    return client


def run(settings: Settings) -> int:
    """The DaemonSet's process: returns 0 after SIGTERM or SIGINT; raises if the loop or one of its threads fails.

    Raises SettingsError before anything is started if a file that the settings name is invalid.
    """
    setup(settings.log_format, settings.log_level)
    guards = PageGuards(settings)
    with AgentLock(settings.state_dir, settings.node_name, settings.cgroup_mount) as lock:
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
    metrics.seed(ledger.totals(), time.monotonic(), ledger.last_in_containers())

    hierarchy = find_hierarchy(settings.cgroup_mount)
    if hierarchy.local_events:
        logger.warning("cgroup2 is %s. %s", LOCAL_EVENTS, LOCAL_EVENTS_ADVICE)
    files = CgroupFiles(hierarchy.memory_mount, hierarchy.version)
    sources = sources_of(hierarchy.version, files)
    log = _open_log(settings, ledger, metrics)
    user_agent = f"oomward/{__version__} (node {settings.node_name})"
    api = connect(settings.kubeconfig, user_agent=user_agent, lax_ca=settings.api_lax_ca)
    sender = EventSender(api, mailbox.put, reporting_instance=settings.node_name)
    watch = PodWatch(api, settings.node_name, mailbox.put, stop=stop)
    schedule = Schedule(settings.event_budget_pod, settings.event_budget_node)
    outbox = Outbox(ledger, metrics, schedule, sender.send, boot)
    kill, kmsg = partial(kill_container, files), log.trouble is None
    policies = OomPolicies.of_node()
    node = build_node(
        settings,
        boot,
        files,
        ledger,
        metrics,
        outbox,
        kill,
        kmsg=kmsg,
        v1=sources.v1,
        v1_pressure=sources.v1_pressure,
        psi=sources.psi,
        scope_policy=policies.of_cgroup,
        systemd_loaded_ns=policies.loaded_ns,
        processes=partial(
            build_processes, settings, CgroupFiles(hierarchy.memory_mount, hierarchy.version, beside=files)
        ),
    )
    nri = build_nri(settings, node, mailbox, files)
    rules = RulesFile(settings.config) if settings.config is not None else None
    real_time = RealTime(metrics, wanted=settings.real_time)
    loop = Loop(node, log, mailbox, rules, settings, real_time, sources.waiting)
    beats = (
        Heartbeat("loop", lambda: loop.last_beat_monotonic_s, STUCK_S),
        Heartbeat("pod watch", lambda: watch.last_beat_monotonic_s, POD_WATCH_SILENT_S),
        Heartbeat("event sender", lambda: sender.last_beat_monotonic_s, SENDER_SILENT_S),
    )
    healthy = lambda: health(beats, time.monotonic())  # noqa: E731
    server = StatusServer(settings.listen, metrics.page, healthy, node.ready, guards, real_time.check_budget)
    commands = _command_server(settings, hierarchy, mailbox, real_time)
    for beat in beats:
        metrics.heartbeat_timestamp_seconds.labels(beat.thread).set_function(beat.last_unix_s)
    metrics.kmsg_readable.set(kmsg)
    received = _handle_signals(loop)
    server.start()
    commands.start()
    logger.info("oomward %s watches node %s: %s", __version__, settings.node_name, _place(hierarchy))
    try:
        bodies = [("pod watch", watch.run), ("event sender", sender.run)]
        bodies += [("NRI", nri.run)] if nri is not None else []
        for name, body in bodies:
            threading.Thread(target=_body(name, body, mailbox, stop), name=name, daemon=True).start()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        real_time.start()
        loop.run()
        for signum in received[:1]:
            logger.info("%s received: ending", signal.Signals(signum).name)
    finally:
        stop.set()
        optional = [nri.stop] if nri is not None else []
        for end in (
            commands.close,
            *optional,
            sources.close,
            sender.stop,
            server.close,
            ledger.close,
            log.close,
            node.tree.close,
            files.close,
        ):
            end()
    logger.info("stopped; the values of memory.oom.group stay as they are")
    return 0


def _place(hierarchy: Hierarchy) -> str:
    return f"cgroup {hierarchy.version} below {hierarchy.memory_mount}"


def _command_server(settings: Settings, hierarchy: Hierarchy, mailbox: Mailbox, real_time: RealTime) -> CommandServer:
    """The socket that commands ask; a warning if there can be none."""
    open_files = lambda: CgroupFiles(hierarchy.memory_mount, hierarchy.version)  # noqa: E731
    answers = Answers(settings, hierarchy, open_files, mailbox.put)
    commands = CommandServer(settings.state_dir, answers.answer, real_time.check_budget)
    if commands.trouble is not None:
        logger.warning(commands.trouble)
    return commands


def _open_log(settings: Settings, ledger: Ledger, metrics: Metrics) -> LogReader:
    """The kernel's log from the ledger's position; a warning if it can't be read yet."""
    reports = recorded_reports(ledger.reported(ledger.kmsg_sequence), ledger.last_kills(0.0, time.time()))
    log = LogReader(partial(open_kmsg, settings.kmsg), ledger.kmsg_sequence, metrics, reports)
    if log.trouble is not None:
        logger.warning("%s. Kills are still counted; the names of their victims will be missing.", log.trouble)
    return log


def _body(name: str, body: Callable[[], None], mailbox: Mailbox, stop: threading.Event) -> Callable[[], None]:
    """A thread's body; its end reaches the loop, unless we stop."""

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


def _handle_signals(loop: Loop) -> list[int]:
    """SIGTERM and SIGINT stop the loop, and after SIGCONT it knows that it was stopped; returns the list of those that end it.

    A handler logs nothing: it may interrupt a line of the log.
    """
    received: list[int] = []

    def end(signum: int, _frame: FrameType | None) -> None:
        received.append(signum)
        loop.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGCONT, lambda _signum, _frame: loop.continued())
    return received
