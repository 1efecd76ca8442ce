"""The main job, shown: three herders under one limit, and what happens to each. ``make demo``."""
