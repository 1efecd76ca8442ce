"""The commands beside ``run``: each looks at the node once, does its work, prints and ends. They need no running agent."""

EXIT_OK = 0
EXIT_FAILED = 1  # something that must be so is not, or could not be begun
