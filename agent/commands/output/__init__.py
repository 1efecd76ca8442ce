"""How commands print: tables, screens, sections, and what they say of containers."""
