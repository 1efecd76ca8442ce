"""Settings: defaults < file < environment < flags, frozen, validated at once, every problem named with its place.

One table (SETTINGS) from which flags, environment variables, the file's keys and the reference page follow. Takes text
in, gives Settings and Rules out; reads the configuration file, no cluster and no cgroup.
"""

from agent.settings.problems import SettingsError
from agent.settings.reload import RulesFile, load_rules
from agent.settings.table import SETTINGS, Setting, Settings, add_arguments, load

__all__ = ["SETTINGS", "RulesFile", "Setting", "Settings", "SettingsError", "add_arguments", "load", "load_rules"]
