"""``python -m agent`` is the same program as ``oomward``."""

import sys

from agent.cli import main

sys.exit(main())
