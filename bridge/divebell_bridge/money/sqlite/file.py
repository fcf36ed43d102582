"""Opening a SQLite ledger's file: connections, migration of older files, and SQLite's errors as LedgerErrors."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

from divebell_bridge.money.errors import LedgerBusyError, LedgerError, LedgerUnavailableError
from divebell_bridge.money.sqlite.place import check_place
from divebell_bridge.money.sqlite.schema import APPLICATION_ID, MIGRATIONS, VERSION

OPEN_BUSY_SECONDS = 10.0  # another process may be creating the file, or migrating it


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to a ledger's file; only its owner may read a new file. LedgerError if no file can be there,
    sqlite3.Error or OSError if it cannot be opened."""
    if path.is_dir():
        raise LedgerError(f"{path} is a folder: name a file in it, such as {path / 'ledger.db'}")
    if not path.parent.is_dir():
        raise LedgerError(f"there is no folder {path.parent} for the ledger: make it, or name another file")
    if not read_only:
        # Only a file that is new: to close one that a connection of this process uses would drop its locks (POSIX).
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600))
    check_place(path)
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    db = sqlite3.connect(uri, uri=True, timeout=OPEN_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA foreign_keys = ON")
    return db


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the tables to this version, in one transaction. LedgerError if the file is something else, or newer."""
    check_version(db, path)
    _write_ahead(db, path)
    with transaction(db, "IMMEDIATE"):
        version = _version(db, path)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                db.execute(statement)
        if version != VERSION:
            db.execute(f"PRAGMA user_version = {VERSION}")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        if _tables(db) != _expected_tables():
            raise LedgerError(f"the tables of {path} are not those of a ledger of this version: name another file")


def _tables(db: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """Everything that the file's rules consist of, to compare: none may be missing, and none may have been added."""
    query = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    return frozenset(db.execute(query).fetchall())


@cache
def _expected_tables() -> frozenset[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as db:
        for statements in MIGRATIONS:
            for statement in statements:
                db.execute(statement)
        return _tables(db)


def _write_ahead(db: sqlite3.Connection, path: Path) -> None:
    """Switch to the WAL. Another process that opens the file now may be in the way, and SQLite does not wait for it
    here."""
    until = time.monotonic() + OPEN_BUSY_SECONDS
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise LedgerError(f"{path} is on a drive that cannot be shared safely: put the ledger on a local disk")
        return


@contextmanager
def transaction(db: sqlite3.Connection, kind: str) -> Iterator[None]:
    """All or nothing. `kind`: "IMMEDIATE" to write, "DEFERRED" to read."""
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk, for example, has ended it already
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise


def check_version(db: sqlite3.Connection, path: Path) -> int:
    """The version of the file's tables; 0 for an empty file. LedgerError if it is not a ledger that we can read."""
    with transaction(db, "DEFERRED"):  # one look: another process may be making the tables just now
        return _version(db, path)


def _version(db: sqlite3.Connection, path: Path) -> int:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    is_empty = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not is_empty and application != APPLICATION_ID:
        raise LedgerError(f"{path} is a database of something else, not a ledger: name another file")
    if version > VERSION:
        raise LedgerError(f"{path} was written by a newer version of Divebell: upgrade this one to use it")
    return version


@contextmanager
def mapping_sqlite_errors(path: Path) -> Iterator[None]:
    """Raise SQLite's errors, and the file's, as LedgerError, in a sentence."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if _is_busy(error):
            raise LedgerBusyError(f"another process is writing to the ledger {path}") from None
        kind = LedgerUnavailableError if _may_pass(error) else LedgerError
        raise kind(f"the ledger {path} cannot be used: {error}") from None
    except sqlite3.IntegrityError as error:
        raise LedgerError(f"the ledger {path} refused an entry that breaks its rules: {error}") from None
    except sqlite3.Error as error:
        raise LedgerError(f"{path} cannot be read as a ledger ({error}): name another file") from None
    except OverflowError:
        raise LedgerError("an amount is over what a ledger can hold, 9.2 million dollars") from None
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be opened: {error.strerror or error}") from None


_MAY_PASS = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_NOMEM", "SQLITE_PROTOCOL")


def _may_pass(error: sqlite3.OperationalError) -> bool:
    """Whether the same may succeed later: the disk is full, the drive is away, or permissions have changed."""
    return getattr(error, "sqlite_errorname", "").startswith(_MAY_PASS)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
