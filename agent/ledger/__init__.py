"""What happened, durably: kills, counter baselines, originals, decisions and undelivered Events, in SQLite.

Called from the loop's thread only (LedgerReader from anywhere). Never raises for a bad disk: it says what is wrong, goes
on in memory, and tries again. Decides nothing. A kill survives kill -9 of the agent once record() has returned with
nothing waiting; after a power cut the last seconds may be missing (WAL, synchronous = NORMAL).
"""

from agent.ledger.ledger import Ledger
from agent.ledger.lock import AgentLock, LockedError
from agent.ledger.reader import LedgerReader, NoLedgerError

__all__ = ["AgentLock", "Ledger", "LedgerReader", "LockedError", "NoLedgerError"]
