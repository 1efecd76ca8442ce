"""The agent where no cgroup v2 is: ordinary directories stand for cgroups (trees.py). For times on the bare machine.

All of it is the agent's own code but for one look at the file system's magic number, which is left out. inotify works on
a tmpfs as on cgroups; what a real kernel adds (its own writes, its counters) is measured in the lab.
"""

from __future__ import annotations

import functools
import sys

import agent.run
import tests.bench.as_in_cluster  # noqa: F401
from agent import cli
from agent.cgroup.files import CgroupFiles

if __name__ == "__main__":
    vars(agent.run)["CgroupFiles"] = functools.partial(CgroupFiles, check_magic=False)
    sys.exit(cli.main())
