"""Counter differences and kernel reports and pod facts become OomKills, each kill once.

Takes readings of memory.events, OomReports and the coming and going of cgroups; gives Findings: kills to record, with
the baselines that make the recording exact, amendments, outcomes. The counters say how many, kmsg says who, the
hierarchy audits both. No input or output of its own: what it must look up it asks of Facts.
"""

from agent.kills.attribution import Attributor
from agent.kills.facts import Facts, Findings

__all__ = ["Attributor", "Facts", "Findings"]
