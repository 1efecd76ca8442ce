"""The commands beside ``run``: each does one job, prints and exits. They need no running agent."""

EXIT_OK = 0
EXIT_FAILED = 1  # a check, a write or the start has failed
