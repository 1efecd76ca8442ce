"""Whether the lock files install on another day, with other releases of pip. ``make locks``."""
