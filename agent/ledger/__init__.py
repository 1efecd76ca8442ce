"""What happened, durably: kills, counter baselines, originals, decisions and undelivered Events, in SQLite.

Called from the loop's thread only (LedgerReader from anywhere). Never raises for a bad disk: it says what is wrong, goes
on in memory, and tries again. Decides nothing.
"""

from agent.ledger.ledger import Ledger
from agent.ledger.lock import AgentLock, LockedError
from agent.ledger.reader import LedgerReader

__all__ = ["AgentLock", "Ledger", "LedgerReader", "LockedError"]
