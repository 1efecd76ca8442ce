"""Why containers of a pod fail, what Kubernetes will do, and what to do.

Owns the decision table. Takes a Pod, the pod's kills and facts of the node; returns Diagnoses. Pure, without state, and
cheap enough for the loop.
"""

from agent.diagnose.judge import diagnose
from agent.diagnose.table import TABLE

__all__ = ["TABLE", "diagnose"]
