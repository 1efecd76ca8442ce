"""Output of the commands: tables, screens, sections."""
