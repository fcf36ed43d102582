"""A SQLite file as a store of ledgers (store.py)."""

from dataclasses import dataclass
from pathlib import Path

from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from divebell_bridge.money.sqlite.report import SQLiteReader


@dataclass(frozen=True, slots=True)
class SQLiteStore:
    """The ledger in the file at `path`."""

    path: Path

    def open(self) -> SQLiteLedger:
        return SQLiteLedger(self.path)

    def read(self) -> SQLiteReader:
        return SQLiteReader(self.path)
