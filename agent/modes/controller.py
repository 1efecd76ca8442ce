"""Each container's desired mode goes to its memory.oom.group; the result is counted, shown and reported.

The hot path, from another process's write to ours, is oom_group_touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agent.cgroup.files import CgroupError, CgroupFiles
from agent.cgroup.layout import RUNTIME_CHILD
from agent.cgroup.tree import Tree
from agent.metrics.metrics import Metrics
from agent.metrics.series import MOST_OF_A_POD
from agent.model import (
    Cgroup,
    CgroupKind,
    KeptDecision,
    Mode,
    OomKill,
    Pod,
    Rules,
    WriteOutcome,
)
from agent.modes.ancestors import Ancestors
from agent.modes.consequences import Consequences
from agent.modes.created import CreatedWithMode
from agent.modes.desired import DesiredMode, desired_mode, oom_group_values
from agent.modes.enforcer import Attempt, Enforcer
from agent.modes.kept import kept_decisions
from agent.modes.notices import ModeNotices
from agent.modes.policy import decide, invalid_modes
from agent.modes.scopes import Scopes
from agent.modes.stalls import invalid_stalls, pressure_request
from agent.modes.tolerance import invalid_tolerances
from agent.pods.lookup import Lookup
from agent.pods.registry import Registry
from agent.wording import notes
from agent.wording.pressure import no_psi_note
from agent.wording.shares import Shares

MOST_ENDED = 1000  # containers that ended before they had a name


@dataclass(eq=False)
class ModeController:
    """``values`` are the last known ones of memory.oom.group, by path; shared with ``facts``, written here only.

    ``has_psi`` False: stalls can't be seen on this node, so nothing is done about them.
    """

    rules: Rules
    files: CgroupFiles
    tree: Tree
    enforcer: Enforcer
    registry: Registry
    notices: ModeNotices
    metrics: Metrics
    facts: Lookup
    consequences: Consequences
    scopes: Scopes
    values: dict[str, int]
    on_error: Callable[[CgroupError], None]
    has_psi: bool = True
    in_force: dict[str, Mode | None] = field(default_factory=dict, init=False)  # by container id; None: left alone
    _desired: dict[int, DesiredMode] = field(default_factory=dict, init=False)
    # By container id, of those that ended before they had a name: pod's uid, inode and the mode that was in force.
    _ended: dict[str, tuple[str, int, Mode]] = field(default_factory=dict, init=False)
    _ended_shares: Shares[str, tuple[str, int, Mode]] = field(
        default_factory=lambda: Shares("containers ended before they had a name", lambda _, one: ("", one[0])),
        init=False,
    )

    def __post_init__(self) -> None:
        self.created = CreatedWithMode(self.enforcer, self.containers, self.facts.mode)
        self._ancestors = Ancestors(self.enforcer, self.registry, self.notices, self.values)

    def check_settings(self, pod: Pod) -> None:
        for bad in (
            *invalid_modes(pod, self.rules),
            *invalid_tolerances(pod, self.rules),
            *invalid_stalls(pod, self.rules),
        ):
            self.notices.invalid(pod, bad)
        for container in () if self.has_psi else pod.containers:
            if (stall := pressure_request(pod, container.name, self.rules).stall) is not None:
                note = no_psi_note(container.name, stall)
                self.notices.failed(pod, note, f"no-psi-{container.name}", pod.uid)

    def pod_changed(self, pod: Pod, now_s: float, between: Callable[[], None]) -> None:
        """Decide the modes of the pod's containers. ``between`` is called before each that has a cgroup."""
        self._begin_series(pod)
        self._announce_ended(pod)
        for cgroup in self.tree.containers(pod.cgroup_key):
            between()
            self.consider(cgroup, now_s)

    def _announce_ended(self, pod: Pod) -> None:
        """Modes that were in force for containers that ended before the API named them."""
        if not self._ended:
            return
        names = {
            each: one.name
            for one in pod.containers
            for each in (one.container_id, one.previous_id)  # in back-off both are the same
            if each in self._ended
        }
        for container_id, name in names.items():
            _, inode, mode = self._ended.pop(container_id)
            decision = decide(pod, name, self.rules)
            if decision.mode is mode:
                self.notices.applied(pod, name, mode, inode, decision.why)
                self.notices.forget(inode)

    def _begin_series(self, pod: Pod, *, unless_begun: bool = False) -> None:
        """Of the containers that have a cgroup. One without a name may be any of a pod of usual size, so all begin.

        Without a desired mode a container has the kubelet's: group on v2, unless it runs with singleProcessOOMKill.
        """
        if self.registry.has_departed(pod.uid) or (unless_begun and self.metrics.has(pod.namespace, pod.name)):
            return
        cgroups = self.tree.containers(pod.cgroup_key)
        names = {container.name for container in pod.containers} if len(pod.containers) <= MOST_OF_A_POD else set()
        if not names:
            found = (self.registry.identity(cgroup.place) for cgroup in cgroups)
            names = {one.container for one in found if one is not None and one.container is not None}
        default = Mode.SINGLE if self.files.version == "v1" else Mode.GROUP
        for name in names if cgroups else ():
            mode = decide(pod, name, self.rules).mode or default
            self.metrics.container_running(pod.namespace, pod.name, name, mode)

    def decisions(self, pod: Pod) -> list[KeptDecision] | None:
        """For the ledger, which keeps them for a start without the API; None: no container has a name yet, so keep the previous ones."""
        known = [(c, d) for c in self.tree.containers(pod.cgroup_key) if (d := self._desired.get(c.inode)) is not None]
        named = any(d.container is not None for _, d in known)
        return kept_decisions(pod, known) if named or not known else None

    def gone(self, cgroup: Cgroup) -> None:
        desired, mode = self._desired.get(cgroup.inode), self.facts.mode(cgroup)
        if desired is not None and desired.container is None and mode is not None and mode is desired.decision.mode:
            self._ended[cgroup.place.container_id or ""] = desired.pod_uid or "", cgroup.inode, mode
            self._ended_shares.trim(self._ended, MOST_ENDED)
        self.enforcer.gone(cgroup)
        if cgroup.path not in self.tree.cgroups:  # or another has its path already
            self.values.pop(cgroup.path, None)
        if self._desired.pop(cgroup.inode, None) is not None and cgroup.place.container_id is not None:
            self.in_force.pop(cgroup.place.container_id, None)
            self.created.gone(cgroup.place.container_id)
        self.notices.forget(cgroup.inode)
        self.consequences.gone(cgroup)
        self.scopes.forget(cgroup)

    def containers(self) -> list[Cgroup]:
        return [c for c in self.tree.cgroups.values() if c.place.kind is CgroupKind.CONTAINER]

    def _container_of(self, cgroup: Cgroup) -> Cgroup | None:
        """The container that this cgroup is, or is the child of."""
        path = self.facts.container_path(cgroup.path)
        return self.tree.cgroups.get(path) if path is not None else None

    def oom_group_touched(self, cgroup: Cgroup, at_s: float, *, notified: bool) -> None:
        """The hot path: nothing between another process's write and ours can wait.

        ``notified``: a notification of the write was read at ``at_s``; else a scan found the file, and the write may be old.
        """
        notified_s = at_s if notified else None
        if self.enforcer.wanted(cgroup) is not None:
            if (attempt := self.enforcer.touched(cgroup, at_s)) is not None:
                self.attempted(attempt, at_s, notified_s)
            return
        value = self._read(cgroup)
        if (container := self._container_of(cgroup)) is not None:
            self.consider(container, at_s, notified_s)
        elif value:
            for each in self.containers():
                self._ancestors.warn(each)

    def _read(self, cgroup: Cgroup) -> int | None:
        try:
            value = self.files.read_oom_group(cgroup)
        except CgroupError as error:
            self.on_error(error)
            return None
        if not isinstance(value, int):
            return None
        self.values[cgroup.path] = value
        return value

    def consider(self, container: Cgroup, now_s: float, notified_s: float | None = None) -> None:
        """Decide its mode and enforce it. Nothing for a cgroup that was removed while the caller went through a list."""
        if self.tree.cgroups.get(container.path) != container:
            return
        desired = self._desired[container.inode] = desired_mode(
            container,
            self.registry,
            self.rules,
            lambda: self.facts.limit_bytes(container.path),
            lambda other: self._runs(container.place.pod_key, other),
        )
        child = self.tree.cgroups.get(f"{container.path}/{RUNTIME_CHILD}")
        mode = self.consequences.mode_of(container, desired)
        if desired.container is not None and (container_id := container.place.container_id) is not None:
            self.in_force[container_id] = mode
            self.created.decided(container, child, mode, desired.pod_uid, now_s)
        values = {} if mode is None or self._is_emulated(mode) else oom_group_values(container, child, mode)
        for cgroup in {container, child or container}:
            attempt = None
            if cgroup in values:
                attempt = self.enforcer.enforce(cgroup, values[cgroup], desired.pod_uid or "", now_s)
            elif desired.pod_uid is not None:  # nothing is restored because the API does not answer
                attempt = self.enforcer.release(cgroup)
            if attempt is not None:
                self.attempted(attempt, now_s, notified_s)
        if desired.container is not None:
            self._show(container)
            self.consequences.act(container, desired, None, now_s)
        elif (pod := self.registry.pods.get(desired.pod_uid or "")) is not None:
            self._begin_series(pod, unless_begun=True)
        self._ancestors.warn(container)

    def _runs(self, pod_key: str | None, container_id: str) -> bool:
        pods = self.tree.containers(pod_key) if pod_key is not None else ()
        return any(c.place.container_id == container_id and self.facts.populated(c) for c in pods)

    def _is_emulated(self, mode: Mode) -> bool:
        return mode is Mode.GROUP and self.consequences.emulate_group

    def killed(self, kills: Iterable[OomKill], now_s: float) -> None:
        """Kills that were recorded or amended may have consequences for their containers."""
        for kill in kills:
            container = self.tree.cgroups.get(kill.cgroup_path)
            if container is None or kill.cgroup_inode != container.inode:
                continue  # it is gone; another may have its path
            desired = self._desired.get(container.inode)
            if desired is not None and (desired.tolerance is not None or self.consequences.emulate_group):
                self.consequences.killed(container)
                self.consider(container, now_s)
                self.consequences.act(container, desired, kill, now_s)

    def _show(self, cgroup: Cgroup) -> None:
        """A container with a name: its metrics begin, its init process is remembered, its mode is announced once."""
        container = self._container_of(cgroup)
        desired = self._desired.get(container.inode) if container is not None else None
        pod = self.registry.pods.get(desired.pod_uid or "") if desired is not None else None
        if container is None or desired is None or pod is None or desired.container is None:
            return
        self.facts.learn_init(container)
        self.facts.limit_bytes(container.path)  # read while it is there: a group kill removes the cgroup
        mode = self.consequences.mode_of(container, desired)
        in_force = mode if mode is not None and self._is_emulated(mode) else self.facts.mode(container)
        if not self.registry.has_departed(pod.uid):  # else its series would have no end
            tolerates = desired.tolerance is not None
            self.metrics.container_running(pod.namespace, pod.name, desired.container, in_force, tolerates=tolerates)
        if in_force is not None:
            wanted = None if mode is None else mode.oom_group
            self.metrics.oom_group(pod.namespace, pod.name, desired.container, in_force.oom_group, wanted)
        conflict = self.scopes.conflict(container, mode)
        if conflict is not None:
            note = notes.oom_policy_note(desired.container, conflict)
            self.notices.failed(pod, note, f"oom-policy-{container.inode}", container.inode)
        elif mode is not None and in_force is mode is desired.decision.mode:
            self.notices.applied(pod, desired.container, mode, container.inode, desired.decision.why)

    def oom_policy_conflicts(self, between: Callable[[], None]) -> int:
        """How many containers in mode single systemd stops after an OOM kill. A change is announced. ``between``: before each is read."""
        for container in self.scopes.recheck(self.containers(), between):
            self._show(container)
        return len(self.scopes)

    def attempted(self, attempt: Attempt, at_s: float, notified_s: float | None = None) -> None:
        """Count an attempt and report its failure. ``notified_s``: when another process's write was notified that it answers."""
        cgroup, outcome = attempt.cgroup, attempt.write.outcome
        self.metrics.oom_group_writes.labels(outcome).inc()
        if outcome in (WriteOutcome.WRITTEN, WriteOutcome.ALREADY):
            self.values[cgroup.path] = attempt.write.wanted
        else:
            self._read(cgroup)
            self._show(cgroup)
        if outcome is WriteOutcome.WRITTEN:
            if notified_s is not None:
                self.metrics.oom_group_write_duration_seconds.observe(max(0.0, time.monotonic() - notified_s))
            if attempt.drift:
                self.metrics.drift_corrections.inc()
        if attempt.conflict:
            self.metrics.write_conflicts.inc()
        pod = self.registry.pod_of(cgroup.place)
        if pod is None:
            return
        if outcome in (WriteOutcome.DENIED, WriteOutcome.UNSUPPORTED):
            named = self.registry.identity(cgroup.place)
            container = named.container if named is not None else None
            if outcome is WriteOutcome.UNSUPPORTED and self.files.version == "v1" and container is not None:
                self.notices.failed(pod, notes.group_on_v1_note(container), f"v1-{container}", cgroup.inode)
            else:
                note = notes.mode_failed_note(cgroup.path, attempt.write.detail)
                self.notices.failed(pod, note, cgroup.path, cgroup.inode)
        if attempt.conflict:
            self.notices.failed(pod, notes.conflict_note(cgroup.path), f"conflict-{cgroup.inode}-{int(at_s)}")

    def ancestor_conflicts(self) -> int:
        return self._ancestors.conflicts(self.containers())
