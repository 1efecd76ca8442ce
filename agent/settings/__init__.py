"""Settings: defaults < file < environment < flags, frozen, validated at once; every problem is reported with its place.

One table (SETTINGS) defines flags, environment variables, keys of the file and the reference page. Takes text and returns
Settings and Rules; reads only the configuration file and the files that guard the pages.
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
