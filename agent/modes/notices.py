"""Reports about modes: a log line, a metric and an Event on the pod, each once, and not more per pod than its limit in an hour."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.metrics.metrics import Metrics
from agent.model import (
    InvalidSetting,
    Mode,
    Notice,
    ObjectRef,
    OnExceeded,
    OnStall,
    Pod,
    Reason,
    Tolerance,
    event_name,
)
from agent.wording import notes
from agent.wording.logs import log

logger = logging.getLogger("oomward")

HOUR_S = 3600.0
MOST_PER_HOUR = {Reason.MODE_APPLIED: 100, Reason.MODE_INVALID: 20, Reason.MODE_FAILED: 20}  # per pod
MOST_KNOWN = 200  # reports per pod or cgroup that are remembered, 16 bytes each


@dataclass(slots=True)
class _Hour:
    """How many reports of one reason a pod has had since then."""

    since_unix_s: float
    count: int = 0


@dataclass(eq=False)
class ModeNotices:
    """``post`` takes an Event that happens once, and returns whether its name is a new one."""

    boot_id: str
    metrics: Metrics
    post: Callable[[Notice], bool]
    unix_s: Callable[[], float]
    announce_applied: bool = True
    # Digests: values may be long.
    _announced: dict[str | int, dict[bytes, None]] = field(default_factory=dict, init=False)
    _hours: dict[str, dict[Reason, _Hour]] = field(default_factory=dict, init=False)

    def forget(self, subject: str | int) -> None:
        """The pod with this uid, or the cgroup with this inode, is gone."""
        self._announced.pop(subject, None)
        if isinstance(subject, str):
            self._hours.pop(subject, None)

    def _first_time(self, pod: Pod, reason: Reason, subject: str | int | None, *what: str) -> bool:
        """Whether to report it: it is new for the ``subject`` (None: each is), and within the pod's limit."""
        digest = hashlib.blake2b("\0".join(what).encode(errors="surrogatepass"), digest_size=16).digest()
        if subject is not None and digest in self._announced.get(subject, ()):
            return False
        if not self._within_limit(pod, reason):
            return False
        if subject is not None:
            known = self._announced.setdefault(subject, {})
            known[digest] = None
            if len(known) > MOST_KNOWN:
                del known[next(iter(known))]
        return True

    def _within_limit(self, pod: Pod, reason: Reason) -> bool:
        """Counts it. A limit that is reached is reported once in the hour."""
        now_unix_s, most = self.unix_s(), MOST_PER_HOUR[reason]
        hours = self._hours.setdefault(pod.uid, {})
        hour = hours.setdefault(reason, _Hour(now_unix_s))
        if not 0 <= now_unix_s - hour.since_unix_s < HOUR_S:
            hour = hours[reason] = _Hour(now_unix_s)
        hour.count += 1
        if hour.count == most + 1:
            note = notes.too_many_note(reason, most)
            log(logger, logging.WARNING, note, namespace=pod.namespace, pod=pod.name)
            action = "ReadMode" if reason is Reason.MODE_INVALID else "EnforceOOMGroup"
            key = f"{pod.uid}-limit-{int(hour.since_unix_s)}"
            self._notice(pod, reason, action, note, key, warning=reason is not Reason.MODE_APPLIED)
        return hour.count <= most

    def applied(self, pod: Pod, container: str, mode: Mode, inode: int, why: str) -> None:
        """A container's mode is in force: once per mode and instance of the container."""
        if not self.announce_applied or not self._first_time(pod, Reason.MODE_APPLIED, inode, "applied", mode.value):
            return
        note = notes.mode_applied_note(container, mode, why)
        log(logger, logging.INFO, note, namespace=pod.namespace, pod=pod.name, container=container, mode=mode.value)
        self._notice(pod, Reason.MODE_APPLIED, "EnforceOOMGroup", note, f"{mode.value}-{inode}", warning=False)

    def invalid(self, pod: Pod, bad: InvalidSetting) -> None:
        """A label or annotation with an invalid value: once."""
        if not self._first_time(pod, Reason.MODE_INVALID, pod.uid, "invalid", bad.key, bad.value, bad.why):
            return
        note = notes.mode_invalid_note(bad)
        log(logger, logging.WARNING, note, namespace=pod.namespace, pod=pod.name, key=bad.key)
        self.metrics.modes_invalid.inc()
        self._notice(pod, Reason.MODE_INVALID, "ReadMode", note, f"{pod.uid}-{bad.key}-{bad.value}")

    def failed(self, pod: Pod, note: str, what: str, subject: str | int | None = None) -> None:
        """A mode that is not in force, and why: once per ``what`` and ``subject``; without a subject each call is reported."""
        if not self._first_time(pod, Reason.MODE_FAILED, subject, what):
            return
        log(logger, logging.WARNING, note, namespace=pod.namespace, pod=pod.name)
        self.metrics.modes_failed.inc()
        self._notice(pod, Reason.MODE_FAILED, "EnforceOOMGroup", note, f"{pod.uid}-{what}")

    def tolerance_exceeded(self, pod: ObjectRef, container: str, tolerance: Tolerance, inode: int) -> None:
        """Once for each instance of a container."""
        note = notes.tolerance_exceeded_note(container, tolerance)
        if self._notice(pod, Reason.TOLERANCE_EXCEEDED, "EnforceOOMGroup", note, f"tolerance-{inode}"):
            log(logger, logging.WARNING, note, namespace=pod.namespace, pod=pod.name, container=container)
            self.metrics.exceeded(pod.namespace, pod.name, container)

    def killed_as_a_whole(
        self, pod: ObjectRef, container: str, why: OnExceeded | OnStall | None, inode: int, trouble: str
    ) -> None:
        """The agent has killed all processes of a container, or could not (``trouble``)."""
        note = notes.killed_as_a_whole_note(container, why, trouble)
        log(logger, logging.WARNING, note, namespace=pod.namespace, pod=pod.name, container=container)
        reason = "group" if why is None else "stall" if isinstance(why, OnStall) else "tolerance"
        self.metrics.containers_killed.labels("failed" if trouble else reason).inc()
        event = Reason.MODE_FAILED if trouble else Reason.CONTAINER_RESTARTED
        action = "EnforceOOMGroup" if trouble else "KillContainer"
        self._notice(pod, event, action, note, f"killed-{inode}-{trouble}")

    def _notice(
        self, pod: Pod | ObjectRef, reason: Reason, action: str, note: str, key: str, *, warning: bool = True
    ) -> bool:
        """Whether it is a new one. An inode in ``key`` means something in one boot only."""
        named = f"{reason}\0{self.boot_id}\0{key}"
        digest = hashlib.sha256(named.encode(errors="surrogatepass")).hexdigest()[:20]
        about = ObjectRef("Pod", pod.name, pod.namespace, pod.uid)
        return self.post(Notice(event_name(pod.name, digest), about, reason, warning, action, note, self.unix_s()))
