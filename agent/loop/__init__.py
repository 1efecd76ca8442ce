"""The one thread that owns all state. A message comes in, state changes, effects go out."""
