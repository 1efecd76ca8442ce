"""Counter differences and kernel reports and pod facts become OomKills, each kill once.

Takes readings of memory.events, OomReports and cgroups that appear and are removed; gives Findings: kills to record, with the baselines
that make the recording exact, amendments, outcomes. The counters say how many, the log says who, and each level above checks both. No
input or output of its own: what it must look up it asks of Facts. Begin with attribution.py.
"""

from agent.kills.attribution import Attribution
from agent.kills.facts import Facts, Findings

__all__ = ["Attribution", "Facts", "Findings"]
