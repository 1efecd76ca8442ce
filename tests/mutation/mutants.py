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
        "enforce.py",
        "            self._originals.remember_original(",
        "            (lambda _: None)(",
        ("enforce/test_enforcer.py",),
    ),
    Mutant(
        "a fight is fought at full speed",
        "enforce.py",
        "        if hold is None or hold.repair_at_s is not None:\n",
        "        if hold is None:\n",
        ("enforce/test_enforcer.py",),
    ),
    Mutant(
        "an odd value falls back on a less special statement",
        "policy/modes.py",
        "            return _spoken(Source.ANNOTATION, key, pod.annotations[key])\n",
        "            if _mode(pod.annotations[key]):\n                return _spoken(Source.ANNOTATION, key, pod.annotations[key])\n",
        ("policy/test_decide.py",),
    ),
    Mutant(
        "labels are obeyed in a namespace where they don't count",
        "policy/modes.py",
        "    if not disobeyed(pod, rules):\n        key",
        "    if True:\n        key",
        ("policy/test_decide.py",),
    ),
    # -------------------------------------------------------------------------------------------------- what is counted
    Mutant(
        "a group kill's first victim is counted twice, as the kernel does",
        "attribute/partition.py",
        "return len(report.victims) + is_group(report)",
        "return len(report.victims)",
        ("attribute/test_attributor.py",),
    ),
    Mutant(
        "the same without a report",
        "attribute/partition.py",
        "Share(max(1, left - untold_groups), left,",
        "Share(max(1, left), left,",
        ("attribute/test_attributor.py",),
    ),
    Mutant(
        "a kill is booked on its own level only",
        "attribute/accounts.py",
        "        for level in line_of(account):\n            level.closed_kills += raw\n",
        "        for level in (account,):\n            level.closed_kills += raw\n",
        ("attribute/test_attributor.py",),
    ),
    Mutant(
        "a kill without a hit is taken for the node's where there is a log to say so",
        "attribute/drafting.py",
        "    if level is None and not kmsg and node_was_short",
        "    if level is None and node_was_short",
        ("attribute/test_limits.py",),
    ),
    Mutant(
        "the node is blamed without a log though a limit was hit a moment ago",
        "attribute/limits.py",
        "root.without_kill_s - root.last_hit_s >= NO_HIT_S",
        "root.last_hit_s >= 0",
        ("attribute/test_limits.py",),
    ),
    Mutant(
        "a kill at a container's limit takes the hit of its pod's",
        "attribute/limits.py",
        "each.take_hit(own=scope is level)",
        "each.take_hit(own=True)",
        ("attribute/test_limits.py",),
    ),
    Mutant(
        "hits that an agent finds at its start count as long past",
        "attribute/accounts.py",
        "            changed_s=now_s,\n",
        "            changed_s=0.0,\n",
        ("attribute/test_limits.py",),
    ),
    Mutant(
        "a report serves twice",
        "attribute/witness.py",
        "if w.report.first_sequence not in taken]",
        "if w.report]",
        ("attribute/test_witness.py",),
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
        "node/log_reader.py",
        "                self._metrics.kmsg_lost(item.lost)\n",
        "                pass\n",
        ("node/test_log_reader.py",),
    ),
    Mutant(
        "a report that the ledger has is told again",
        "node/log_reader.py",
        " if report.first_sequence not in self._used]",
        "]",
        ("node/test_log_reader.py",),
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
        "kube/budget.py",
        "    return full_at_s - (budget.burst - 1) * budget.every_s\n",
        "    return full_at_s + (budget.burst - 1) * budget.every_s\n",
        ("kube/test_budget.py",),
    ),
    Mutant(
        "Events are sent before their time",
        "kube/events.py",
        "            if due is None or due > self._clock():\n",
        "            if due is None or due < self._clock():\n",
        ("kube/test_events.py",),
    ),
    Mutant(
        "an Event that is there already is an error",
        "kube/events.py",
        "            if error.status != CONFLICT:\n",
        "            if error.status == CONFLICT:\n",
        ("kube/test_events.py",),
    ),
    Mutant(
        "a list that is no whole one counts as all pods",
        "kube/podlist.py",
        '    if metadata.get("continue"):\n',
        '    if metadata.get("discontinue"):\n',
        ("kube/test_pods_hostile.py",),
    ),
    Mutant(
        "a pod of another node is taken for ours",
        "kube/pods.py",
        '        if kind == "DELETED" or pod.node_name != self._node_name:\n',
        '        if kind == "DELETED":\n',
        ("hostile/test_api_json.py",),
    ),
    Mutant(
        "anybody may claim a static pod's cgroup",
        "kube/podjson.py",
        "found is not None and mirrored and CONFIG_HASH",
        "found is not None and CONFIG_HASH",
        ("kube/test_podjson.py",),
    ),
    Mutant(
        "kills that were not the container's own doing count against its tolerance",
        "policy/tolerance.py",
        "if tolerance.any_scope or kill.scope in OWN_DOING)",
        "if kill)",
        ("policy/test_tolerance.py",),
    ),
    Mutant(
        "one kill fewer is tolerated than was asked for",
        "policy/tolerance.py",
        "> tolerance.kills:",
        ">= tolerance.kills:",
        ("policy/test_tolerance.py",),
    ),
    Mutant(
        "control characters reach terminals and Events",
        "report/wording.py",
        '    if unicodedata.category(char) in ("Cc", ',
        '    if unicodedata.category(char) in ("XX", ',
        ("report/test_wording.py",),
    ),
    # ------------------------------------------------------------------------------- what a preempted kernel and a late API show
    Mutant(
        "the API's word that a container runs counts though it has no process left: its restart waits",
        "node/wishes.py",
        "    live = frozenset(filter(runs, roster.live_ids(pod)))\n",
        "    live = roster.live_ids(pod)\n",
        ("node/test_wishes.py", "node/test_node.py"),
    ),
    Mutant(
        "a container is taken to run by its cgroup alone, with processes or without",
        "node/holding.py",
        "return any(c.place.container_id == container_id and self._facts.populated(c) for c in pods)",
        "return any(c.place.container_id == container_id for c in pods)",
        ("node/test_node.py",),
    ),
    Mutant(
        "a group kill is told though processes are left to be killed",
        "attribute/ripeness.py",
        "        ripe = rise.since_s if told and not goes_on else ",
        "        ripe = rise.since_s if told else ",
        ("attribute/test_attributor.py",),
    ),
    Mutant(
        "a group kill is told as far as it had been read when its container went",
        "attribute/hierarchy.py",
        "            self._grow(account, level, reports)\n",
        "            pass\n",
        ("attribute/test_last_readings.py",),
    ),
    Mutant(
        "what a pod shows is given to a group kill though another of its containers went too",
        "attribute/graves.py",
        "        return suspects is not None and suspects.paths == {path}\n",
        "        return suspects is not None\n",
        ("attribute/test_last_readings.py",),
    ),
    Mutant(
        "a group kill is told by a reading that is older than its report",
        "attribute/hierarchy.py",
        " or self._rising.look(account, now_s):\n",
        " or not account.gone:\n",
        ("attribute/test_last_readings.py",),
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
        "attribute/attributor.py",
        "            if nobodys or self._done(kill):\n",
        "            if cgroup.place.kind is not CgroupKind.CONTAINER or self._done(kill):\n",
        ("attribute/test_last_readings.py",),
    ),
    Mutant(
        "the log of a group kill is waited for no longer than that of a single one's",
        "attribute/ripeness.py",
        "        return BUSY_GROUP_WAIT_S\n",
        "        return SINGLE_QUIET_S\n",
        ("attribute/test_attributor.py",),
    ),
    Mutant(
        "the first victim of a group kill is told before the kernel has said that it is one",
        "attribute/ripeness.py",
        "    return not account.open_groups and facts.mode",
        "    return bool(account.open_groups) and facts.mode",
        ("attribute/test_attributor.py",),
    ),
    Mutant(
        "the report of a container that waits for its name is given to its pod's older kill",
        "attribute/attributor.py",
        "if report.first_sequence not in spoken_for]",
        "if report.first_sequence]",
        ("attribute/test_attributor.py",),
    ),
    Mutant(
        "who needs too much of the processor goes on coming first",
        "node/precedence.py",
        "share > TOO_MUCH:",
        "share > TOO_MUCH * 9:",
        ("node/test_precedence.py",),
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
        "node/loop.py",
        "min(self._counted_at_s, now + AFTER_THE_KERNEL_S)",
        "now",
        ("node/test_loop_patience.py",),
    ),
    Mutant(
        "a report is over though more of the log lies there unread",
        "node/log_reader.py",
        "            if len(items) < AT_ONCE:",
        "            if len(items) <= AT_ONCE:",
        ("node/test_log_reader.py",),
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
        "node/node.py",
        "        if strays or self._tree.finds_untold:\n",
        "        if False:\n",
        ("node/test_node_trouble.py",),
    ),
    Mutant(
        "a group kill's second count that comes late is a kill of its own",
        "attribute/second_count.py",
        "                taken += now\n",
        "                taken += 0\n",
        ("attribute/test_second_count.py",),
    ),
    Mutant(
        "a pid that is used again is taken for the process that had it before",
        "kernel/processes.py",
        " and stat.start_ticks == identity.start_ticks",
        "",
        ("kernel/test_processes.py",),
    ),
)
