"""Settings: defaults < file < environment < flags, frozen, validated at once, every problem named with its place.

One table (SETTINGS) from which flags, environment variables, the file's keys and the reference page follow. Takes text
in, gives Settings and Rules out; reads the configuration file and the files that guard the pages, no cluster and no cgroup.
"""

from agent.settings.guards import PageGuards
from agent.settings.loading import load
from agent.settings.problems import SettingsError
from agent.settings.reload import RulesFile, load_rules
from agent.settings.table import SETTINGS, Setting, Settings, add_arguments

__all__ = [
    "SETTINGS",
    "PageGuards",
    "RulesFile",
    "Setting",
    "Settings",
    "SettingsError",
    "add_arguments",
    "load",
    "load_rules",
]
