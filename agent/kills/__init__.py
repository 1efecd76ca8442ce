"""Counter differences and kernel reports become OomKills, each kill once: the counters say how many, the log says which processes, and
each level above checks both. No input or output of its own: what it must look up it asks of Facts. Begin with attribution.py.
"""

from agent.kills.attribution import Attribution
from agent.kills.facts import Facts, Findings

__all__ = ["Attribution", "Facts", "Findings"]
