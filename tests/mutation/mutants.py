"""The mutants: one line of the agent each, what it becomes, and the unit tests that must notice.

``before`` stands in the file exactly once; so a line that is rewritten makes its mutant fail loudly, not pass unseen.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """``what`` goes wrong when ``before`` becomes ``after`` in agent/``file``; ``tests`` are below tests/unit/."""

    what: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


MUTANTS = (
    # ---------------------------------------------------------------------------------------------------- what is written
    Mutant(
        "the compare before a write is flipped: what is right is written, what is wrong is left",
        "cgroup/files.py",
        "    if before == wanted:\n",
        "    if before != wanted:\n",
        ("cgroup/test_files.py",),
    ),
    Mutant(
        "a value is written though it is there already",
        "cgroup/files.py",
        "    if before == wanted:\n",
        "    if before == 7:\n",
        ("cgroup/test_files.py",),
    ),
    Mutant(
        "what was written is not read back",
        "cgroup/files.py",
        "    after = _value(fd)\n",
        "    after = wanted\n",
        ("cgroup/test_files_trouble.py",),
    ),
    Mutant(
        "a cgroup that is no container's is written",
        "cgroup/files.py",
        "        if not kinds <= {CgroupKind.CONTAINER, CgroupKind.NESTED}:\n",
        "        if not kinds:\n",
        ("cgroup/test_files.py",),
    ),
    Mutant(
        "the inode is not looked at: another cgroup at the same path is taken for the one that was meant",
        "cgroup/mount.py",
        "            if inode is not None and found.st_ino != inode:\n",
        "            if inode is not None and found.st_ino < 0:\n",
        ("cgroup/test_files.py",),
    ),
    Mutant(
        "a link in a control file's place is followed",
        "cgroup/mount.py",
        "NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC",
        "NO_LINK = os.O_CLOEXEC",
        ("cgroup/test_files.py",),
    ),
    Mutant(
        "a link in a directory's place is followed",
        "cgroup/mount.py",
        "DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW",
        "DIRECTORY = os.O_RDONLY | os.O_DIRECTORY",
        ("cgroup/test_files.py",),
    ),
    Mutant(
        "the value before the first write is not remembered",
        "modes/enforcer.py",
        "            self._originals.remember_original(",
        "            (lambda _: None)(",
        ("modes/test_enforcer.py",),
    ),
    Mutant(
        "a fight is fought at full speed",
        "modes/enforcer.py",
        "        if hold is None or hold.repair_at_s is not None:\n",
        "        if hold is None:\n",
        ("modes/test_enforcer.py",),
    ),
    Mutant(
        "an odd value falls back on a less special statement",
        "modes/policy.py",
        "            return _spoken(Source.ANNOTATION, key, pod.annotations[key])\n",
        "            if _mode(pod.annotations[key]):\n                return _spoken(Source.ANNOTATION, key, pod.annotations[key])\n",
        ("modes/test_decide.py",),
    ),
    Mutant(
        "labels are obeyed in a namespace where they don't count",
        "modes/policy.py",
        "    if not disobeyed(pod, rules):\n        key",
        "    if True:\n        key",
        ("modes/test_decide.py",),
    ),
    # -------------------------------------------------------------------------------------------------- what is counted
    Mutant(
        "a group kill's first victim is counted twice, as the kernel does",
        "kills/split.py",
        "return len(report.victims) + is_group(report)",
        "return len(report.victims)",
        ("kills/test_attribution.py",),
    ),
    Mutant(
        "the same without a report",
        "kills/split.py",
        "Share(max(1, left - untold_groups), left,",
        "Share(max(1, left), left,",
        ("kills/test_attribution.py",),
    ),
    Mutant(
        "a kill is booked on its own level only",
        "kills/counters.py",
        "        for level in line_of(account):\n            level.closed_kills += raw\n",
        "        for level in (account,):\n            level.closed_kills += raw\n",
        ("kills/test_attribution.py",),
    ),
    Mutant(
        "a kill without a hit is taken for the node's where there is a log to say so",
        "kills/builder.py",
        "    if level is None and not kmsg and node_was_short",
        "    if level is None and node_was_short",
        ("kills/test_scope.py",),
    ),
    Mutant(
        "the node is blamed without a log though a limit was hit a moment ago",
        "kills/scope.py",
        "root.without_kill_s - root.last_hit_s >= NO_HIT_S",
        "root.last_hit_s >= 0",
        ("kills/test_scope.py",),
    ),
    Mutant(
        "a kill at a container's limit takes the hit of its pod's",
        "kills/scope.py",
        "each.take_hit(own=scope is level)",
        "each.take_hit(own=True)",
        ("kills/test_scope.py",),
    ),
    Mutant(
        "hits that an agent finds at its start count as long past",
        "kills/counters.py",
        "            changed_s=now_s,\n",
        "            changed_s=0.0,\n",
        ("kills/test_scope.py",),
    ),
    Mutant(
        "a report serves twice",
        "kills/pending_reports.py",
        "if w.report.first_sequence != report.first_sequence]",
        "if w.report]",
        ("kills/test_pending_reports.py",),
    ),
    Mutant(
        "records of user space are believed",
        "kernel/oomreport.py",
        "        if item.facility != 0:\n",
        "        if item.facility > 1023:\n",
        ("kernel/test_oomreport.py",),
    ),
    Mutant(
        "a gap in the kernel's log is not told",
        "kernel/kmsg.py",
        "            if (lost := self._lost_before(record)) > 0:\n",
        "            if (lost := self._lost_before(record)) > 1 << 40:\n",
        ("kernel/test_kmsg.py",),
    ),
    Mutant(
        "a gap in the kernel's log joins what came before it with what comes after",
        "kernel/oomreport.py",
        "            return self._lose()\n",
        "            return []\n",
        ("kernel/test_oomreport.py",),
    ),
    Mutant(
        "lost records are not counted",
        "loop/log_reader.py",
        "                self._metrics.kmsg_lost(item.lost)\n",
        "                pass\n",
        ("loop/test_log_reader.py",),
    ),
    Mutant(
        "a log that was lost is opened again at its end",
        "loop/log_reader.py",
        "self._open_log(self._read_up_to)",
        "self._open_log(None)",
        ("loop/test_log_reader.py",),
    ),
    Mutant(
        "kills counted without the log never get its reports",
        "kills/attribution.py",
        "now_s + LATE_S if self._kmsg else inf",
        "now_s + LATE_S",
        ("kills/test_attribution.py",),
    ),
    Mutant(
        "a report that the ledger has is told again",
        "loop/log_reader.py",
        " if report.first_sequence not in self._used]",
        "]",
        ("loop/test_log_reader.py",),
    ),
    # ---------------------------------------------------------------------------------------------------- what is kept
    Mutant(
        "a kill and the Event that counts it are written in two transactions",
        "ledger/ledger.py",
        '        self._waiting.settled[kill_id] = (outcome, notice.name if notice is not None else "")\n',
        '        self._waiting.settled[kill_id] = (outcome, notice.name if notice is not None else "")\n        self._tell()\n',
        ("ledger/test_transactions.py",),
    ),
    Mutant(
        "kills and the baselines that make them exact are written in two transactions",
        "ledger/ledger.py",
        "        self._waiting.add_kills(kills)\n",
        "        self._waiting.add_kills(kills)\n        self._tell()\n",
        ("ledger/test_transactions.py",),
    ),
    Mutant(
        "a second agent gets the lock",
        "ledger/lock.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        ("ledger/test_lock.py",),
    ),
    # ---------------------------------------------------------------------------------------------------- what is told
    Mutant(
        "the budget's compare is flipped: what is spent is sent, what is there is held back",
        "events/budget.py",
        "    return full_at_s - (budget.burst - 1) * budget.every_s\n",
        "    return full_at_s + (budget.burst - 1) * budget.every_s\n",
        ("events/test_budget.py",),
    ),
    Mutant(
        "Events are sent before their time",
        "events/sender.py",
        "            if due is None or due > self._clock():\n",
        "            if due is None or due < self._clock():\n",
        ("events/test_sender.py",),
    ),
    Mutant(
        "an Event that is there already is an error",
        "events/sender.py",
        "            if error.status != CONFLICT:\n",
        "            if error.status == CONFLICT:\n",
        ("events/test_sender.py",),
    ),
    Mutant(
        "a list that is no whole one counts as all pods",
        "pods/list.py",
        '    if metadata.get("continue"):\n',
        '    if metadata.get("discontinue"):\n',
        ("pods/test_watch_hostile.py",),
    ),
    Mutant(
        "a pod of another node is taken for ours",
        "pods/watch.py",
        '        if kind == "DELETED" or pod.node_name != self._node_name:\n',
        '        if kind == "DELETED":\n',
        ("hostile/test_api_json.py",),
    ),
    Mutant(
        "anybody may claim a static pod's cgroup",
        "pods/parse.py",
        "found is not None and mirrored and CONFIG_HASH",
        "found is not None and CONFIG_HASH",
        ("pods/test_parse.py",),
    ),
    Mutant(
        "kills that were not the container's own doing count against its tolerance",
        "modes/tolerance.py",
        "if tolerance.any_scope or kill.scope in OWN_DOING)",
        "if kill)",
        ("modes/test_tolerance.py",),
    ),
    Mutant(
        "one kill fewer is tolerated than was asked for",
        "modes/tolerance.py",
        "> tolerance.kills:",
        ">= tolerance.kills:",
        ("modes/test_tolerance.py",),
    ),
    Mutant(
        "control characters reach terminals and Events",
        "wording/kills.py",
        '    if unicodedata.category(char) in ("Cc", ',
        '    if unicodedata.category(char) in ("XX", ',
        ("wording/test_kills.py",),
    ),
    # ------------------------------------------------------------------------------- what a preempted kernel and a late API show
    Mutant(
        "the API's word that a container runs counts though it has no process left: its restart waits",
        "modes/desired.py",
        "    live = frozenset(filter(runs, registry.live_ids(pod)))\n",
        "    live = registry.live_ids(pod)\n",
        ("modes/test_desired.py", "loop/test_node.py"),
    ),
    Mutant(
        "a container is taken to run by its cgroup alone, with processes or without",
        "modes/controller.py",
        "return any(c.place.container_id == container_id and self._facts.populated(c) for c in pods)",
        "return any(c.place.container_id == container_id for c in pods)",
        ("loop/test_node.py",),
    ),
    Mutant(
        "a group kill is told though processes are left to be killed",
        "kills/timing.py",
        "        ripe = rise.since_s if told and not goes_on else ",
        "        ripe = rise.since_s if told else ",
        ("kills/test_attribution.py",),
    ),
    Mutant(
        "a group kill is told as far as it had been read when its container went",
        "kills/levels.py",
        "            self._grow(account, level, reports)\n",
        "            pass\n",
        ("kills/test_last_readings.py",),
    ),
    Mutant(
        "what a pod shows is given to a group kill though another of its containers went too",
        "kills/removed_containers.py",
        "        return suspects is not None and suspects.paths == {path}\n",
        "        return suspects is not None\n",
        ("kills/test_last_readings.py",),
    ),
    Mutant(
        "a group kill is told by a reading that is older than its report",
        "kills/levels.py",
        " or self._rising.look(account, now_s):\n",
        " or not account.gone:\n",
        ("kills/test_last_readings.py",),
    ),
    Mutant(
        "a killed PID 1 that can't end yet counts as alive",
        "kernel/processes.py",
        " or int(pending) & _SIGKILL)",
        ")",
        ("kernel/test_processes.py",),
    ),
    Mutant(
        "nobody waits for the report of a container that vanished unread",
        "kills/attribution.py",
        "            if nobodys or self._done(kill):\n",
        "            if cgroup.place.kind is not CgroupKind.CONTAINER or self._done(kill):\n",
        ("kills/test_last_readings.py",),
    ),
    Mutant(
        "the log of a group kill is waited for no longer than that of a single one's",
        "kills/timing.py",
        "        return BUSY_GROUP_WAIT_S\n",
        "        return SINGLE_QUIET_S\n",
        ("kills/test_attribution.py",),
    ),
    Mutant(
        "the first victim of a group kill is told before the kernel has said that it is one",
        "kills/timing.py",
        "    return not account.open_groups and facts.mode",
        "    return bool(account.open_groups) and facts.mode",
        ("kills/test_attribution.py",),
    ),
    Mutant(
        "the report of a container that waits for its name is given to its pod's older kill",
        "kills/attribution.py",
        "if report.first_sequence not in spoken_for]",
        "if report.first_sequence]",
        ("kills/test_attribution.py",),
    ),
    Mutant(
        "who needs too much of the processor goes on coming first",
        "loop/realtime.py",
        "share > TOO_MUCH:",
        "share > TOO_MUCH * 9:",
        ("loop/test_realtime.py",),
    ),
    Mutant(
        "only the main thread comes first",
        "kernel/scheduling.py",
        "        for thread in others:\n",
        "        for thread in others[:0]:\n",
        ("kernel/test_scheduling.py",),
    ),
    Mutant(
        "a kill's counters are read while the kernel is at it",
        "loop/loop.py",
        "min(self._counted_at_s, now + AFTER_THE_KERNEL_S)",
        "now",
        ("loop/test_loop_patience.py",),
    ),
    Mutant(
        "a report is over though more of the log lies there unread",
        "loop/log_reader.py",
        "            if len(items) < AT_ONCE:",
        "            if len(items) <= AT_ONCE:",
        ("loop/test_log_reader.py",),
    ),
    Mutant(
        "a file that goes with its cgroup is taken for touched",
        "cgroup/tree.py",
        "            if event.mask & flags.IGNORED:\n",
        "            if False:\n",
        ("cgroup/test_tree.py",),
    ),
    Mutant(
        "what the kernel tells of during a full look counts as missed",
        "cgroup/tree.py",
        "            self._told_meanwhile.add(path)\n",
        "            pass\n",
        ("cgroup/test_tree.py",),
    ),
    Mutant(
        "the kernel gets no moment to tell of what a full look found amiss",
        "loop/node.py",
        "        if strays or self._tree.finds_untold:\n",
        "        if False:\n",
        ("loop/test_node_trouble.py",),
    ),
    Mutant(
        "a group kill's second count that comes late is a kill of its own",
        "kills/second_count.py",
        "                taken += now\n",
        "                taken += 0\n",
        ("kills/test_second_count.py",),
    ),
    Mutant(
        "a pid that is used again is taken for the process that had it before",
        "kernel/processes.py",
        " and stat.start_ticks == identity.start_ticks",
        "",
        ("kernel/test_processes.py",),
    ),
)
