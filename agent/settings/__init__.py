"""Settings: defaults < file < environment < flags, frozen, validated at once; every problem is reported with its place.

One table (SETTINGS) defines flags, environment variables, keys of the file and the reference page.
"""

from agent.settings.guards import PageGuards
from agent.settings.loading import RulesFile, load, load_rules
from agent.settings.problems import SettingsError
from agent.settings.table import OF_CONTROLLER, SETTINGS, Settings, add_arguments

__all__ = [
    "OF_CONTROLLER",
    "SETTINGS",
    "PageGuards",
    "RulesFile",
    "Settings",
    "SettingsError",
    "add_arguments",
    "load",
    "load_rules",
]
