"""Text for people: Events, log lines and screens."""
