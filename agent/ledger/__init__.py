"""Kills, counter baselines, originals, decisions and undelivered Events, durably, in SQLite.

Called from the loop's thread only (LedgerReader from any). Never raises for a bad disk: it reports what is wrong, continues
in memory, and tries again. A kill survives kill -9 of the agent once a commit has returned with nothing waiting; after a power
cut the last seconds may be missing (WAL, synchronous = NORMAL).
"""

from agent.ledger.ledger import Ledger
from agent.ledger.lock import AgentLock, LockedError
from agent.ledger.reader import LedgerReader, NoLedgerError
