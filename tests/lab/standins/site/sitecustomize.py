"""For the examples' own scripts, by PYTHONPATH: a process with the amount GATED behind a colon or as an argument waits at the gate."""

import os
import sys

if any(argument.rpartition(":")[2] == os.environ["GATED"] for argument in sys.orig_argv):
    with open("/gate/large", "rb", buffering=0) as gate:  # noqa: PTH123 - as little memory as may be
        gate.read(1)
