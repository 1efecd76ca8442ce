"""Each container's desired mode goes to its memory.oom.group; what comes of it is counted, shown and reported.

The hot path, from a runtime's write to ours, is knob_touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from agent.cgroup.files import CgroupError, CgroupFiles
from agent.cgroup.layout import RUNTIME_CHILD
from agent.cgroup.tree import Tree
from agent.metrics.metrics import Metrics
from agent.model import Cgroup, CgroupKind, KeptDecision, Mode, OomKill, Pod, Rules, Vanished, WriteOutcome
from agent.modes import bad_tolerances, bad_wishes, decide
from agent.modes.ancestors import Ancestors
from agent.modes.announced import Announced
from agent.modes.consequences import Consequences
from agent.modes.desired import Wish, knobs_of, wish_for
from agent.modes.enforcer import Enforcer, Held, Why
from agent.modes.notices import ModeNotices
from agent.pods.lookup import Lookup
from agent.pods.registry import Registry
from agent.wording import notes


class ModeController:
    """``knobs`` is what memory.oom.group said last, by path; shared with facts, written here only. ``rules`` may be replaced."""

    def __init__(
        self,
        *,
        rules: Rules,
        files: CgroupFiles,
        tree: Tree,
        enforcer: Enforcer,
        registry: Registry,
        notices: ModeNotices,
        metrics: Metrics,
        facts: Lookup,
        consequences: Consequences,
        knobs: dict[str, int],
        on_error: Callable[[CgroupError], None],
        announce_applied: bool,
    ) -> None:
        self.rules = rules
        self._files = files
        self._tree = tree
        self._enforcer = enforcer
        self._registry = registry
        self._notices = notices
        self._metrics = metrics
        self._facts = facts
        self._consequences = consequences
        self._knobs = knobs
        self._on_error = on_error
        self._announce_applied = announce_applied
        self._wishes: dict[int, Wish] = {}
        self._announced = Announced()
        self._ancestors = Ancestors(knobs, enforcer, registry, notices, self._announced)

    def check_asked(self, pod: Pod) -> None:
        """Say once of each label or annotation that it asks for something that can't be."""
        for wish in (*bad_wishes(pod, self.rules), *bad_tolerances(pod, self.rules)):
            if self._announced.first_time(pod.uid, "invalid", wish.key, wish.value):
                self._notices.invalid(pod, wish)

    def pod_changed(self, pod: Pod, now_s: float, between: Callable[[], None]) -> None:
        """A pod as it is now: what it asks for goes to its containers. ``between`` is called before each."""
        self._begin_series(pod)
        for cgroup in self._tree.containers(pod.cgroup_key):
            between()
            self.consider(cgroup, now_s)

    def _begin_series(self, pod: Pod) -> None:
        """Zeros before anything happens: a container that dies at once is named only after its death.

        What nobody asks for is as the kubelet has it: group on v2, unless it runs with singleProcessOOMKill.
        """
        default = Mode.SINGLE if self._files.version == "v1" else Mode.GROUP
        for container in pod.containers:
            mode = decide(pod, container.name, self.rules).mode or default
            self._metrics.container_running(pod.namespace, pod.name, container.name, mode)

    def decisions(self, pod: Pod) -> list[KeptDecision] | None:
        """What the ledger shall keep for a start without the API; None: nothing is decided yet, so keep what is there."""
        known = [(c, w) for c in self._tree.containers(pod.cgroup_key) if (w := self._wishes.get(c.inode)) is not None]
        of_pod = pod.uid, pod.cgroup_key, pod.namespace, pod.name
        kept = [
            KeptDecision(*of_pod, w.container, c.place.container_id, w.decision.mode, w.decision.rule, w.tolerance)
            for c, w in known
            if w.decision.mode is not None and w.container is not None
        ]
        return kept if kept or not known else None

    def gone(self, cgroup: Cgroup) -> None:
        """The cgroup was removed."""
        self._enforcer.gone(cgroup)
        if cgroup.path not in self._tree.cgroups:  # or another has its path already
            self._knobs.pop(cgroup.path, None)
        self._wishes.pop(cgroup.inode, None)
        self._announced.forget(cgroup.inode)
        self._consequences.gone(cgroup)

    def forget_pod(self, uid: str) -> None:
        """The pod left long ago."""
        self._announced.forget(uid)

    def containers(self) -> list[Cgroup]:
        """All of the node."""
        return [c for c in self._tree.cgroups.values() if c.place.kind is CgroupKind.CONTAINER]

    def _container_cgroup(self, cgroup: Cgroup) -> Cgroup | None:
        """The container that this cgroup is, or the child of."""
        path = self._facts.container_path(cgroup.path)
        return self._tree.cgroups.get(path) if path is not None else None

    def knob_touched(self, cgroup: Cgroup, at_s: float, *, notified: bool) -> None:
        """The hot path: from another's write to ours with nothing in between that can wait.

        ``notified``: a notification of a write was read at ``at_s``; else somebody looked and may find a write of long ago.
        """
        notified_s = at_s if notified else None
        if self._enforcer.wanted(cgroup) is not None:
            held = self._enforcer.touched(cgroup, at_s)
            if held is not None:
                self.held(held, at_s, notified_s)
            return
        value = self._read_knob(cgroup)
        container = self._container_cgroup(cgroup)
        if container is not None:
            self.consider(container, at_s, notified_s)
        elif value:
            for each in self.containers():
                self._ancestors.warn(each)

    def _read_knob(self, cgroup: Cgroup) -> int | None:
        try:
            value = self._files.read_oom_group(cgroup)
        except CgroupError as error:
            self._on_error(error)
            return None
        if isinstance(value, Vanished):
            return None
        self._knobs[cgroup.path] = value
        return value

    def consider(self, container: Cgroup, now_s: float, notified_s: float | None = None) -> None:
        """Decide the container's mode and see to it."""
        wish = wish_for(
            container,
            self._registry,
            self.rules,
            lambda: self._facts.limit_bytes(container.path),
            lambda other: self._runs(container.place.pod_key, other),
        )
        self._wishes[container.inode] = wish
        child = self._tree.cgroups.get(f"{container.path}/{RUNTIME_CHILD}")
        mode = self._consequences.mode_of(container, wish)
        wanted = knobs_of(container, child, mode) if mode is not None and not self._emulated(mode) else {}
        for cgroup in {container, child or container}:
            held = None
            if cgroup in wanted:
                held = self._enforcer.hold(cgroup, wanted[cgroup], wish.pod_uid or "", now_s)
            elif wish.pod_uid is not None:  # nothing is given back because the API is silent
                held = self._enforcer.release(cgroup)
            if held is not None:
                self.held(held, now_s, notified_s)
        if wish.container is not None:
            self._named(container, wish)
            self._consequences.act(container, wish, None, now_s)
        self._ancestors.warn(container)

    def _runs(self, pod_key: str | None, container_id: str) -> bool:
        pods = self._tree.containers(pod_key) if pod_key is not None else ()
        return any(c.place.container_id == container_id and self._facts.populated(c) for c in pods)

    def _emulated(self, mode: Mode) -> bool:
        """Whether it is we who see to the mode, and not the kernel."""
        return mode is Mode.GROUP and self._files.version == "v1" and self._consequences.emulate_group

    def killed(self, kills: Iterable[OomKill], now_s: float) -> None:
        """Kills that were recorded, or of which more is known now: what follows for their containers."""
        for kill in kills:
            container = self._tree.cgroups.get(kill.cgroup_path)
            if container is None or container.place.kind is not CgroupKind.CONTAINER:
                continue
            if kill.cgroup_inode != container.inode:
                continue  # of one that had this path before
            wish = self._wishes.get(container.inode)
            if wish is not None and self._consequences.concerns(wish):
                self._consequences.killed(container)
                self.consider(container, now_s)
                self._consequences.act(container, wish, kill, now_s)

    def _named(self, container: Cgroup, wish: Wish) -> None:
        """A container whose name is known: its metrics begin, its init is remembered, its mode is announced once."""
        pod = self._registry.pods.get(wish.pod_uid or "")
        if pod is None or wish.container is None:
            return
        self._facts.learn_init(container)
        self._facts.limit_bytes(container.path)  # to be known when a group kill has taken the cgroup with it
        mode = self._consequences.mode_of(container, wish)
        in_force = mode if mode is not None and self._emulated(mode) else self._facts.mode(container)
        if not self._registry.has_departed(pod.uid):  # else its series would have no end
            self._metrics.container_running(pod.namespace, pod.name, wish.container, in_force)
        if in_force is not None:
            wanted = None if mode is None else mode.oom_group
            self._metrics.oom_group(pod.namespace, pod.name, wish.container, in_force.oom_group, wanted)
        announced = self._announce_applied and mode is wish.decision.mode is not None and in_force is mode
        if announced and mode is not None and self._announced.first_time(container.inode, "applied", mode.value):
            self._notices.applied(pod, wish.container, mode, container.inode, wish.decision.why)

    def held(self, held: Held, at_s: float, notified_s: float | None = None) -> None:
        """One attempt at a knob, counted and, where it failed, told. ``notified_s``: it answers another's write, heard of then."""
        outcome = held.write.outcome
        self._metrics.oom_group_writes.labels(outcome).inc()
        if outcome in (WriteOutcome.WRITTEN, WriteOutcome.ALREADY):
            self._knobs[held.cgroup.path] = held.write.wanted
        else:
            self._show_what_is(held.cgroup)
        if outcome is WriteOutcome.WRITTEN:
            if notified_s is not None:
                self._metrics.oom_group_write_duration_seconds.observe(max(0.0, time.monotonic() - notified_s))
            if held.why is Why.DRIFT:
                self._metrics.drift_corrections.inc()
        failed = outcome in (WriteOutcome.DENIED, WriteOutcome.UNSUPPORTED)
        pod = self._registry.pod_of(held.cgroup.place)
        if pod is not None and failed and self._announced.first_time(held.cgroup.inode, "write", outcome.value):
            self._failed(pod, held)
        if pod is not None and held.fight_began:
            self._metrics.write_conflicts.inc()
            self._notices.failed(pod, notes.conflict_note(held.cgroup.path), f"fight-{held.cgroup.inode}-{int(at_s)}")

    def _failed(self, pod: Pod, held: Held) -> None:
        named = self._registry.identity(held.cgroup.place)
        container = named.container if named is not None else None
        if held.write.outcome is WriteOutcome.UNSUPPORTED and self._files.version == "v1" and container is not None:
            self._notices.failed(pod, notes.group_on_v1_note(container), f"v1-{container}")
            return
        self._notices.failed(pod, notes.mode_failed_note(held.cgroup.path, held.write.detail), held.cgroup.path)

    def _show_what_is(self, cgroup: Cgroup) -> None:
        """A write that came to nothing: what the knob says now is what the metrics shall say."""
        self._read_knob(cgroup)
        container = self._container_cgroup(cgroup)
        wish = self._wishes.get(container.inode) if container is not None else None
        if container is not None and wish is not None:
            self._named(container, wish)

    def ancestor_conflicts(self) -> int:
        """How many containers in mode single there are below a level whose memory.oom.group is 1."""
        return self._ancestors.conflicts(self.containers())
