"""The vocabulary: the frozen records that pass between rooms. No input or output; imports nothing of ours.

Units are in the names: ``_bytes``, ``_s`` (seconds), ``_us`` (microseconds). ``at_monotonic_s`` is CLOCK_MONOTONIC,
``at_unix_s`` is wall-clock time. None always means "not known" unless the field says otherwise.
"""

from agent.model.cgroups import *
from agent.model.events import *
from agent.model.kernel import *
from agent.model.kills import *
from agent.model.memory import *
from agent.model.messages import *
from agent.model.modes import *
from agent.model.plain import *
from agent.model.pods import *
from agent.model.pressure import *
from agent.model.runtime import *
from agent.model.systemd import *


class AgentError(RuntimeError):
    """The agent can't work: what, where, and what to do, in a sentence for people."""
