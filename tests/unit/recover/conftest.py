"""The API's stand-in with an opened namespace."""

from tests.unit.recover.lab import lab

__all__ = ["lab"]
