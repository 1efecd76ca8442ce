"""Today's tools, rebuilt from their published behaviour as small programs: baselines, not the tools themselves.

Each module names its tool, and in what it does better than published.
"""
