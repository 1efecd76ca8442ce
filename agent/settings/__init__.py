"""Settings: defaults < file < environment < flags, frozen, validated at once, every problem named with its place.

One table (SETTINGS) from which flags, environment variables, the file's keys and the reference page follow. Takes text
in, gives a Settings out; reads no cluster and no cgroup.
"""

from agent.settings.rules import RulesFile, SettingsError
from agent.settings.table import SETTINGS, Setting, Settings, add_arguments, load

__all__ = ["SETTINGS", "RulesFile", "Setting", "Settings", "SettingsError", "add_arguments", "load"]
