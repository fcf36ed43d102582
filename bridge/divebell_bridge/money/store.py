"""Where ledgers are kept: what each kind of store has to give, and the one place that knows which kinds there are."""

from pathlib import Path
from typing import Protocol

from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.report import LedgerReports


class LedgerStore(Protocol):
    """A place where a ledger is kept, or may be."""

    def open(self) -> Ledger:
        """The ledger, for its user: it is made if it is not there, and what dead processes left open is closed."""
        ...

    def read(self) -> LedgerReports:
        """One look at the ledger, for people. Nothing is made or changed; LedgerError where there is no ledger."""
        ...


def ledger_store(path: "Path | str") -> LedgerStore:
    """The store of that name: a path is a SQLite file's."""
    from divebell_bridge.money.sqlite.store import SQLiteStore  # here, because most processes have no ledger in a file

    return SQLiteStore(Path(path))
