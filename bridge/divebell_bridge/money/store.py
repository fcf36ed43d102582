"""Where ledgers are kept: what each kind of store must provide, and the one place that knows which kinds there are."""

from pathlib import Path
from typing import Protocol

from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.report import LedgerReports


class LedgerStore(Protocol):
    """A place where a ledger is kept, or may be."""

    def open(self) -> Ledger:
        """Open the ledger to use it. It is created if it does not exist, and what dead processes left open is
        closed."""
        ...

    def read(self) -> LedgerReports:
        """Open the ledger to report on it. Nothing is created or changed; LedgerError if there is no ledger."""
        ...


def ledger_store(path: "Path | str") -> LedgerStore:
    """The store of that name: a path is a SQLite file's."""
    from divebell_bridge.money.sqlite.store import SQLiteStore  # here, because most processes have no ledger in a file

    return SQLiteStore(Path(path))
