"""The commands beside ``run``: each does one job, prints and exits."""

EXIT_OK = 0
EXIT_FAILED = 1  # a check, a write or the start has failed
EXIT_USAGE = 2  # arguments or configuration are wrong: nothing was started
