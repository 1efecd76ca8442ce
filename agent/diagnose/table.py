"""The decision table: all rules in order. The first that matches is the diagnosis."""

from __future__ import annotations

from agent.diagnose.rule import Rule
from agent.diagnose.table_ends import ENDS
from agent.diagnose.table_images import IMAGES
from agent.diagnose.table_pods import PODS
from agent.diagnose.table_running import RUNNING
from agent.diagnose.table_starts import STARTS

TABLE: tuple[Rule, ...] = (*PODS, *IMAGES, *STARTS, *ENDS, *RUNNING)
