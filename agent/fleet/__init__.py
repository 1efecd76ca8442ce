"""``kubectl oomward …``: the same commands for a whole cluster.

Asks the agents' own commands by exec through the API, with the caller's rights, and merges the answers. Runs wherever kubectl runs: it
needs no node, no Linux, and nothing that is compiled.
"""

from __future__ import annotations


class FleetError(Exception):
    """The cluster or a node can't be asked; the text is a sentence for people."""
