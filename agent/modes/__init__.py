"""What should be: pure functions from pods and configured rules to modes and tolerances, with the reasons.

Takes snapshots of pods and Rules, gives Decisions, Tolerances and the wishes that can't be obeyed. No input or output, no state.
"""

from agent.modes.matching import disobeyed, glob_matches, rule_matches, selector_matches
from agent.modes.policy import MOST_BAD_WISHES, bad_wishes, candidates, decide, decide_unnamed
from agent.modes.tolerance import bad_tolerances, exceeded, killed_of_late, tolerance_of

__all__ = [
    "MOST_BAD_WISHES",
    "bad_tolerances",
    "bad_wishes",
    "candidates",
    "decide",
    "decide_unnamed",
    "disobeyed",
    "exceeded",
    "glob_matches",
    "killed_of_late",
    "rule_matches",
    "selector_matches",
    "tolerance_of",
]
