"""What people use today, rebuilt from its published behaviour as small programs: baselines, not the tools themselves.

Each module names what it stands for. Where a rebuilt one is kinder than what was published, it says so.
"""
