"""Whatever comes and goes, is named late or not reported, and however often the agent is killed: each kill once, none another's, and
none of the node's shortage where that was not it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from agent.kills import Findings
from agent.model import OomKill, OomReport, Scope
from tests.unit.kills.world import POD, ROOT, Agent, World, pod_of, report

PODS = (POD, POD.replace("11111111", "22222222"))
GROUP = 2  # processes of a container that is killed as a whole; the kernel counts the first of them twice
QOS = f"{ROOT}/burstable"
HIT_TO_KILL_S = 100.0  # a task may wait that long for the kernel's oom_lock


@dataclass
class Life:
    """A node with two pods, its log and its agents, one after the other; ``agent`` None while none runs.

    ``logged`` False: no agent may read the log. ``short``: the node runs out of memory now and then; else no kill is for that.
    """

    logged: bool = True
    short: bool = False

    world: World = field(default_factory=World)
    agent: Agent | None = None
    before: Agent | None = None  # the one that was killed last
    log: list[OomReport] = field(default_factory=list)
    told: int = 0  # how many of the log's reports the agent was given
    kills: list[OomKill] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)  # processes by container, as they really died
    doubled: Counter[str] = field(default_factory=Counter)  # first victims that the kernel counted twice
    for_the_node: Counter[str] = field(default_factory=Counter)  # those of ``killed`` that the node's shortage killed
    said: dict[int, bool] = field(
        default_factory=dict
    )  # by a report's first sequence: whether it is of the node's shortage
    hits: list[tuple[str, float]] = field(default_factory=list)  # whose kill is yet to come

    def pick(self, depth: int, number: int) -> str | None:
        """Some cgroup of that depth that is there."""
        found = sorted(path for path in self.world.tallies if path.count("/") == depth)
        return found[number % len(found)] if found else None

    def make(self, number: int) -> None:
        """A container, in either pod; the API tells its name later."""
        if (pod := self.pick(2, number)) is not None:
            path = f"{pod}/{self.world.next_inode:064x}"
            self.world.make(path)
            self.world.unnamed.add(path)
            if self.agent is not None:
                self.agent.see(path)

    def kill(
        self,
        number: int,
        *,
        group: bool = False,
        lost: bool = False,
        nameless: bool = False,
        domain: Callable[[str], str] = str,
        hit: bool = True,
        torn: bool = False,
    ) -> None:
        """One process of a container, or all of them, at the limit of ``domain``. ``lost``: the log doesn't tell; ``nameless``: it lost
        the cgroup. ``hit`` False: that was counted before. ``torn``: the container is read between the counts of kill and hit.
        """
        path = self.pick(3, number)
        if path is None or path in self.world.empty:
            return
        processes, groups = (GROUP, 1) if group else (1, 0)
        self.killed[path] += processes
        self.doubled[path] += groups
        self.world.kill(path, raw=processes + groups, groups=groups, limit_of=domain(path), hit=hit and not torn)
        if torn:
            if self.agent is not None:
                self.agent.read(path)
            self.world.hit(domain(path))
        self.log_it(path, processes, group=group, lost=lost, nameless=nameless, domain=domain(path))
        self.hear()

    def log_it(self, path: str, processes: int, *, group: bool, lost: bool, nameless: bool, domain: str | None) -> None:
        """``domain`` None: the node's memory was short."""
        if lost:
            return
        sequence = 10 * len(self.kills) + 1000 * self.killed.total()
        pids = range(sequence, sequence + processes)
        named = report(path, *pids, sequence=sequence, domain=domain, group=path if group else None)
        said = report(None, *pids, sequence=sequence) if nameless else named
        self.log.append(said if domain is not None else replace(said, global_oom=True, oom_memcg=None))
        self.said[sequence] = domain is None

    def hit_only(self, number: int, domain: Callable[[str], str] = str) -> None:
        """A limit is hit, and the kill comes later or never."""
        if (path := self.pick(3, number)) is not None:
            self.world.hit(domain(path))
            self.hits.append((path, self.world.now))
            self.hear()

    def kill_after_hit(self, number: int) -> None:
        """The kill of a hit that was counted some time ago."""
        found = [path for path, at in self.hits if self.world.now - at < HIT_TO_KILL_S and path in self.world.tallies]
        if found and found[0] not in self.world.empty:
            at = sorted(path for path in self.world.tallies if path.count("/") == 3).index(found[0])
            self.kill(at, hit=False, lost=number % 2 == 0)
            self.hits = [(path, at) for path, at in self.hits if path != found[0]]

    def run_short(self, number: int, *, outside: bool = False, lost: bool = False, nameless: bool = False) -> None:
        """The node is out of memory: a process of a container is killed, or one ``outside`` of pods."""
        path = "system.slice/backup.service" if outside else self.pick(3, number)
        if not self.short or path is None or path in self.world.empty:
            return
        self.killed[path] += 1
        self.for_the_node[path] += 1
        self.world.kill(path, hit=False)
        self.log_it(path, 1, group=False, lost=lost, nameless=nameless, domain=None)
        self.hear()

    def interrupted(self, number: int, *, pod: bool = False) -> None:
        """A group kill of which the agent sees the first count alone; then the container is gone, or its pod is."""
        path = self.pick(3, number)
        if path is None or path in self.world.empty:
            return
        self.killed[path] += GROUP
        self.doubled[path] += 1
        self.world.grouped.add(path)
        self.world.kill(path)
        self.hear()
        self.world.kill(path, raw=GROUP, groups=1, hit=False)
        sequence = 1000 * self.killed.total()
        self.log.append(report(path, sequence, sequence + 1, sequence=sequence, group=path))
        self.said[sequence] = False
        self.remove(path.rpartition("/")[0] if pod else path)
        self.hear()

    def hear(self) -> None:
        """What counters and log have to tell."""
        if self.agent is not None:
            self.agent.read(*sorted(self.world.tallies, key=lambda path: path.count("/")))
            for one in self.log[self.told :] if self.logged else ():
                self.agent.attribution.reported(one, self.world.now)
            self.told = len(self.log)
            self.agent.attribution.counted_node(self.world.node_kills, self.world.now)

    def remove(self, path: str | None) -> None:
        """A container goes, or a pod with all that is in it."""
        for each in sorted((p for p in self.world.tallies if path and (p + "/").startswith(path + "/")), reverse=True):
            cgroup = self.world.remove(each)
            if self.agent is not None:
                self.agent.attribution.removed(cgroup, self.world.now)

    def take(self, found: Findings) -> None:
        """As the ledger does."""
        assert self.agent is not None
        self.kills += found.kills
        amended = {kill.kill_id: kill for kill in found.amended}
        self.kills = [amended.get(kill.kill_id, kill) for kill in self.kills]
        for inode in found.gone_inodes:
            self.agent.kept.pop(inode, None)

    def pause(self, seconds: float) -> None:
        """Time passes."""
        if self.agent is not None:
            self.take(self.agent.after(seconds))

    def end(self) -> None:
        """kill -9: the next one reads the log from the oldest report that still waits."""
        if self.agent is not None:
            waiting = self.agent.attribution.oldest_waiting_sequence
            self.told = next((i for i, r in enumerate(self.log) if r.first_sequence == waiting), self.told)
            self.before, self.agent = self.agent, None

    def begin(self) -> None:
        """Another agent, if none runs. A report that is in the ledger is not told again."""
        if self.agent is None:
            kept = dict(self.before.kept) if self.before is not None else {}
            self.agent = Agent(self.world, kept, seen_this_boot=self.before is not None, kmsg=self.logged)
            for inode in self.agent.attribution.forget_removed():
                self.agent.kept.pop(inode)
            self.pause(0.0)
            used = {kill.report_sequence for kill in self.kills}
            self.log = [r for i, r in enumerate(self.log) if i < self.told or r.first_sequence not in used]
            self.hear()


ACTIONS: dict[str, Callable[[Life, int], None]] = {
    "made": Life.make,
    "killed": Life.kill,
    "killed, and the log lost it": lambda life, n: life.kill(n, lost=True),
    "killed as a whole": lambda life, n: life.kill(n, group=True),
    "killed as a whole, and the log lost it": lambda life, n: life.kill(n, group=True, lost=True),
    "killed as a whole, and gone in the midst of it": lambda life, n: life.interrupted(n),
    "killed as a whole, and gone with its pod in the midst of it": lambda life, n: life.interrupted(n, pod=True),
    "killed at its pod's limit": lambda life, n: life.kill(n, domain=pod_of, lost=n % 2 == 0),
    "killed at the limit of all burstable pods": lambda life, n: life.kill(n, domain=lambda _: QOS, lost=n % 2 == 0),
    "killed at the limit of all pods": lambda life, n: life.kill(n, domain=lambda _: ROOT, lost=n % 2 == 0),
    "killed, and the log lost whose it was": lambda life, n: life.kill(n, nameless=True),
    "killed while its counter is read": lambda life, n: life.kill(n, torn=True, lost=n % 2 == 0),
    "a limit hit": Life.hit_only,
    "a pod's limit hit": lambda life, n: life.hit_only(n, pod_of),
    "killed for an older hit": Life.kill_after_hit,
    "killed for the node": Life.run_short,
    "killed for the node, and the log lost it": lambda life, n: life.run_short(n, lost=True),
    "killed for the node, and the log lost whose it was": lambda life, n: life.run_short(n, nameless=True),
    "killed for the node, outside of pods": lambda life, n: life.run_short(n, outside=True, nameless=n % 2 == 0),
    "gone": lambda life, n: life.remove(life.pick(3, n)),
    "a pod gone": lambda life, n: life.remove(life.pick(2, n)),
    "named": lambda life, _: life.world.unnamed.clear(),
    "some time": lambda life, n: life.pause((0.001, 0.05, 0.1, 0.3)[n]),
    "long": lambda life, n: life.pause((0.6, 2.0, 5.5, 11.0)[n]),
    "very long": lambda life, n: life.pause((31.0, 60.0, 121.0, 300.0)[n]),
    "the agent ends": lambda life, _: life.end(),
    "another begins": lambda life, _: life.begin(),
}


@given(
    st.lists(st.tuples(st.sampled_from(tuple(ACTIONS)), st.integers(0, 3)), min_size=4, max_size=40),
    st.booleans(),
    st.booleans(),
)
def test_no_kill_is_lost_and_none_is_told_of_a_container_that_had_none(
    acts: list[tuple[str, int]], logged: bool, short: bool
) -> None:
    life = Life(logged=logged, short=short)
    life.world.make(ROOT, *PODS)
    life.begin()
    for name, number in acts:
        ACTIONS[name](life, number)
    life.begin()
    life.world.unnamed.clear()
    for _ in range(4):
        life.hear()
        life.pause(3.0)
    recorded: Counter[str] = Counter()
    for kill in life.kills:
        recorded[kill.cgroup_path] += kill.processes
    most = life.killed + life.doubled
    if logged:  # without the log nothing tells who of several that died together was killed as a whole, and who was not
        assert all(recorded[path] <= most[path] for path in recorded if path.count("/") == 3), "on the right container"
    assert life.killed.total() <= recorded.total() <= most.total(), "each once"
    assert len({kill.kill_id for kill in life.kills}) == len(life.kills)
    the_node_is_named_where_it_was(life)


def the_node_is_named_where_it_was(life: Life) -> None:
    """Never for a kill at a limit, whoever tells; and always where the log says so."""
    named: Counter[str] = Counter()
    for kill in life.kills:
        if kill.scope is Scope.NODE:
            named[kill.cgroup_path] += kill.processes
        if kill.report_sequence is not None:
            assert (kill.scope is Scope.NODE) is life.said[kill.report_sequence]
    assert named.total() <= life.for_the_node.total()
    assert all(named[path] <= life.for_the_node[path] for path in named if path.count("/") == 3)
