"""Counter differences and kernel reports become OomKills, each kill once: the counters say how many, the log says which processes, and
each level above checks both. What must be looked up is asked of Facts; only recorder.py has output. Begin with attribution.py.
"""

from agent.kills.attribution import Attribution
from agent.kills.facts import Facts, Findings

__all__ = ["Attribution", "Facts", "Findings"]
