"""`oomward recover`: the controller's process. Builds its parts, starts the threads, handles signals and the end; no logic."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType

from agent import __version__
from agent.kube.api import Api, ApiError, connect
from agent.metrics.http import Heartbeat, StatusServer, health
from agent.metrics.recover import RecoverMetrics
from agent.model import AGENT_CONTROLLER
from agent.model.recover import ENABLED_LABEL, RECOVER_ANNOTATION, RecoverConfig
from agent.recover.cluster import Cluster
from agent.recover.controller import Controller
from agent.recover.journal import Journal
from agent.recover.lean import lean_event, lean_pod, lean_space, read_here
from agent.recover.lease import Lease
from agent.recover.reporter import Reporter
from agent.recover.watch import MOST_KEPT_BYTES, Json, Watch
from agent.settings import PageGuards, Settings
from agent.settings.recover import load_recover
from agent.wording.logs import setup

LOOK_S = 5.0  # between two looks without a change
PAUSE_S = 1.0  # at least between two looks
RENEW_S = 2.0
SILENT_S = 300.0
AGAIN_S = 300.0  # between two log lines of the same trouble
MOST_POD_BYTES = 16 << 20  # about 100 MiB in memory (measured); of Events and namespaces less is kept
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
HOME = "oomward"
logger = logging.getLogger("oomward")


def recover(settings: Settings, policy: Path | None) -> int:
    """Until SIGTERM or SIGINT: 0. Raises SettingsError, NoApiError, ListenError before anything is started."""
    setup(settings.log_format, settings.log_level)
    config = closing(load_recover(policy), home())
    guards = PageGuards(settings)
    identity = os.environ.get("POD_NAME") or socket.gethostname()
    api = connect(
        settings.kubeconfig, user_agent=f"oomward/{__version__} (recover {identity})", lax_ca=settings.api_lax_ca
    )
    return Recovery(api, config, home(), identity, settings, guards).run()


def closing(config: RecoverConfig, namespace: str) -> RecoverConfig:
    """The controller never touches its own namespace."""
    return replace(config, closed=config.closed | {namespace})


def home() -> str:
    """The namespace of the journal and the lease: the controller's own."""
    try:
        return os.environ.get("POD_NAMESPACE") or NAMESPACE_FILE.read_text().strip() or HOME
    except OSError:
        return HOME


class Recovery:
    """The parts of the process, and their threads."""

    def __init__(
        self, api: Api, config: RecoverConfig, namespace: str, identity: str, settings: Settings, guards: PageGuards
    ) -> None:
        self._stop, self._changed = threading.Event(), threading.Event()
        self._signal = 0
        self._metrics = RecoverMetrics()
        self._lease = Lease(api, namespace, identity)
        self._last_look_s = time.monotonic()
        self._trouble = Trouble(logger.warning)
        self._watches = {
            "pods": self._watch(api, "/api/v1/pods", {}, _asks, lean_pod, MOST_POD_BYTES),
            "namespaces": self._watch(
                api, "/api/v1/namespaces", {"labelSelector": f"{ENABLED_LABEL}=true"}, lambda _: True, lean_space
            ),
            "events": self._watch(
                api,
                "/apis/events.k8s.io/v1/events",
                {"fieldSelector": f"reportingController={AGENT_CONTROLLER}"},
                read_here,
                lean_event,
            ),
        }
        cluster = Cluster(api, lambda: self._lease.held)
        reporter = Reporter(cluster, self._metrics, identity)
        self._controller = Controller(
            config,
            self._watches["pods"].objects,
            self._watches["namespaces"].objects,
            self._watches["events"].objects,
            cluster,
            Journal(api, namespace, lambda: self._lease.held),
            reporter,
            self._metrics,
            lambda: self._lease.held,
        )
        beat = Heartbeat("recovery", lambda: self._last_look_s, SILENT_S)
        healthy = lambda: health((beat,), time.monotonic())  # noqa: E731
        self._server = StatusServer(settings.listen, self._metrics.page, healthy, self._ready, guards)
        dry = "a dry run: it only says what it would do" if config.policy.dry_run else "not a dry run"
        logger.info("oomward %s recovers pods as %s, %s", __version__, identity, dry)

    def run(self) -> int:
        """Until a signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._server.start()
        bodies: dict[str, Callable[[], None]] = {f"watch of {name}": watch.run for name, watch in self._watches.items()}
        threads = [
            threading.Thread(target=self._guarded(body), name=name)
            for name, body in {**bodies, "lease": self._renew}.items()
        ]
        for thread in threads:
            thread.daemon = True
            thread.start()
        try:
            while not self._stop.is_set():
                self._changed.wait(LOOK_S)
                self._changed.clear()
                if not self._stop.is_set() and self._ready()[0]:
                    self._controller.look(time.time())
                self._last_look_s = time.monotonic()
                self._stop.wait(PAUSE_S)
        finally:
            self._stop.set()
            self._lease.release()
            self._server.close()
        logger.info("ended by %s", signal.Signals(self._signal).name)
        return 0

    def _watch(
        self,
        api: Api,
        path: str,
        query: dict[str, str],
        wants: Callable[[Json], bool],
        keep: Callable[[Json], Json],
        most_bytes: int = MOST_KEPT_BYTES,
    ) -> Watch:
        return Watch(api, path, query, wants, self._changed.set, self._stop, self._trouble, keep, most_bytes)

    def _renew(self) -> None:
        """A thread's body: a look may last longer than the lease."""
        leader = ""
        while not self._stop.is_set():
            try:
                self._lease.renew()
            except ApiError as error:
                self._trouble(f"the lease can't be renewed: {error}")
            if self._lease.leader != leader:
                leader = self._lease.leader
                logger.info("%s", f"replica {leader} leads" if leader else "this replica does not lead any more")
                self._changed.set()
            self._stop.wait(RENEW_S)

    def _guarded(self, body: Callable[[], None]) -> Callable[[], None]:
        """A thread that dies ends the process: the kubelet starts another."""

        def guarded() -> None:
            try:
                body()
            finally:
                if not self._stop.is_set():
                    logger.critical("a thread ended: %s", threading.current_thread().name)
                    os.kill(os.getpid(), signal.SIGTERM)

        return guarded

    def _ready(self) -> tuple[bool, str]:
        """Whether everything was listed once: a part of the pods must not look like all of them."""
        missing = [name for name, watch in self._watches.items() if not watch.listed.is_set()]
        return not missing, f"not listed yet: {', '.join(missing)}" if missing else "ok"

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number
        self._stop.set()
        self._changed.set()


class Trouble:
    """Logs trouble when it begins, and then not more often than every five minutes; threads share it."""

    def __init__(self, log: Callable[[str], None], monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._log, self._monotonic_s = log, monotonic_s
        self._logged: dict[str, float] = {}

    def __call__(self, text: str) -> None:
        now_s = self._monotonic_s()
        if now_s - self._logged.get(text, -AGAIN_S) >= AGAIN_S:
            self._logged = {one: at for one, at in self._logged.items() if now_s - at < AGAIN_S} | {text: now_s}
            self._log(text)


def _asks(pod: Json) -> bool:
    """Whether a pod asks for recovery: no others are kept."""
    annotations = pod["metadata"].get("annotations") or {}
    return annotations.get(RECOVER_ANNOTATION) not in (None, "", "false")
