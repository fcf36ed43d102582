"""Forgetting, in a SQLite ledger, the holds that ended long ago and the runs that closed then, piece by piece.

What they cost stays in their tenants. A piece is one short transaction, so that nobody waits long for the file. There
is one with each run that is opened, which is more than a run leaves behind, and some more as the ledger is opened.

An account's holds ended before it closed, its children closed no later, and a worker's accounts before the worker
ended; so accounts are not forgotten before all holds of that age are, nor workers before accounts, and then nothing
that stays refers to what goes. SQLite need not look for that, by reading all holds for each account.
"""

import sqlite3
from datetime import UTC, datetime, timedelta

from divebell_bridge.money.sqlite.books import text_of_time
from divebell_bridge.money.sqlite.file import transaction

KEPT_DAYS = 90
"""How long closed runs and their holds are kept, for people to look at."""
PIECE_ROWS = 250
OPENING_PIECES = 20

# The time at which the piece's last row ended, so that all of one transaction, which have the same time, go together.
_END_OF_PIECE = (
    "SELECT max({column}) FROM (SELECT {column} FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT {rows})"
)


def forget_piece(db: sqlite3.Connection) -> bool:
    """Delete some of the entries that are too old. Returns whether there may be more. sqlite3.Error where the file is
    busy."""
    before = text_of_time(datetime.now(UTC) - timedelta(days=KEPT_DAYS))
    if not any(_end_of_piece(db, *each, before) for each in (("holds", "ended"), ("accounts", "closed"))):
        db.execute("DELETE FROM workers WHERE ended < ?", (before,))
        return False
    db.execute("PRAGMA foreign_keys = OFF")  # not possible within a transaction
    try:
        with transaction(db, "IMMEDIATE"):
            until = _end_of_piece(db, "holds", "ended", before)
            if until is not None:
                db.execute("DELETE FROM holds WHERE ended <= ?", (until,))
            else:
                until = _end_of_piece(db, "accounts", "closed", before)
                db.execute("DELETE FROM accounts WHERE closed <= ? AND kind IN ('run', 'child')", (until,))
    finally:
        db.execute("PRAGMA foreign_keys = ON")
    return True


def _end_of_piece(db: sqlite3.Connection, table: str, column: str, before: str) -> str | None:
    query = _END_OF_PIECE.format(table=table, column=column, rows=PIECE_ROWS)
    until: str | None = db.execute(query, (before,)).fetchone()[0]
    return until
