"""Why containers of a pod aren't well, what Kubernetes does about it by itself, and what a person should do.

Owns the decision table. Takes a Pod, the pod's kills and what the node knows; gives Diagnoses. Pure: no input, no output,
no state, and cheap enough for the loop.
"""

from agent.diagnose.judge import diagnose
from agent.diagnose.table import TABLE

__all__ = ["TABLE", "diagnose"]
