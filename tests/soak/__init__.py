"""The soak: everything at once, for minutes or hours, against an oracle that the lab keeps on its own."""
