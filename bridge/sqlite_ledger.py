"""A ledger in one SQLite file, which many processes share.

Guaranteed: what a committed operation did survives the death of the process at any moment, by whatever signal; the
database itself refuses an overdraft (sqlite_schema.py). A process's death is seen by the lock that it held
(liveness.py); what it held is then posted as spent, when another process opens the ledger or waits for money, or by
`divebell ledger reconcile`.

Not guaranteed, unless `survive_power_loss` is set: that the last operations before a power cut are still there
(SQLite's synchronous=NORMAL; the file stays whole in either case). Not for network drives: SQLite's WAL needs one
machine.

Waiting for another process's transaction is short here, and then LedgerBusy is raised: callers on an event loop wait
without blocking it.
"""

import os
import secrets
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from divebell.bridge.errors import LedgerBusy, LedgerError
from divebell.bridge.escrow import Account, Amounts, Caps, HoldEntry
from divebell.bridge.ledger import MAX_TREE_DEPTH, Books, Ledger, close_open_account
from divebell.bridge.liveness import LifeLine, is_alive
from divebell.bridge.sqlite_schema import APPLICATION_ID, MIGRATIONS, VERSION

BUSY_SECONDS = 0.1
OPEN_BUSY_SECONDS = 10.0  # another process may be creating the file, or migrating it
KEPT_DAYS = 90
"""How long the holds of closed accounts are kept, for people to look at."""

_FIELDS = ("caps", "carved", "spent", "held", "reserved", "overdrawn")
_COLUMNS = [
    f"{prefix}_{limit}"
    for prefix in ("cap", "carved", "spent", "held", "reserved", "overdrawn")
    for limit in ("picodollars", "tokens", "calls")
]
_ACCOUNT_COLUMNS = ["id", "kind", "path", "parent", "worker", "frozen", "is_open", *_COLUMNS]
_SELECT_ACCOUNT = f"SELECT {', '.join(_ACCOUNT_COLUMNS)} FROM accounts"  # noqa: S608  (names from above)
_INSERT_ACCOUNT = (
    f"INSERT INTO accounts ({', '.join(_ACCOUNT_COLUMNS)}, opened) "  # noqa: S608
    f"VALUES ({', '.join('?' * len(_ACCOUNT_COLUMNS))}, ?)"
)
_CHANGING = ["frozen", "is_open", *_COLUMNS]
_UPDATE_ACCOUNT = f"UPDATE accounts SET {', '.join(f'{name} = ?' for name in _CHANGING)}, closed = ? WHERE id = ?"  # noqa: S608
_HOLD_COLUMNS = (
    "id, account, worker, model, purpose, state, held_picodollars, held_tokens, held_calls, "
    "spent_picodollars, spent_tokens, spent_calls"
)


class SQLiteLedger(Ledger):
    """Accounts in the SQLite file at `path`, which is made if it is not there, for its owner alone.

    survive_power_loss: wait for the disk at each operation (some milliseconds each).
    Raises LedgerError if the file is something else, is newer than this version, or cannot be written.

    Thread-safe. Not to be used in a forked child: open it anew there.
    """

    is_shared = True

    def __init__(self, path: "Path | str", *, survive_power_loss: bool = False) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._closed = False
        self._life: LifeLine | None = None
        with _explained(self.path):
            self._db = connect(self.path)
            try:
                migrate(self._db, self.path)
                self._db.execute(f"PRAGMA synchronous = {'FULL' if survive_power_loss else 'NORMAL'}")
                self._db.execute("PRAGMA busy_timeout = 10000")
                life = secrets.token_hex(8)
                self._life = LifeLine(_life_path(self.path, life))
                self.worker = self._db.execute(
                    "INSERT INTO workers (life, process, began) VALUES (?, ?, ?)", (life, self._process, _now())
                ).lastrowid
                self.recover()
                self._db.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
            except BaseException:
                self._db.close()
                if self._life is not None:
                    self._life.close()
                raise
        _open_ledgers.add(self)

    def __enter__(self) -> "SQLiteLedger":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Post what this ledger still holds as spent, and give the file back."""
        with self._lock:
            if self._closed or self._process != os.getpid():
                return
            self._closed = True
            with suppress(sqlite3.Error, LedgerError):
                self._db.execute(f"PRAGMA busy_timeout = {int(OPEN_BUSY_SECONDS * 1000)}")
                self._bury(self.worker)
            self._db.close()
            if self._life is not None:
                self._life.close()

    def recover(self) -> int:
        """Post the holds of dead processes as spent, and close their accounts. Returns how many holds that were."""
        with self._lock, _explained(self.path):
            self._check_open()
            others = self._db.execute(
                "SELECT id, life FROM workers WHERE ended IS NULL AND id IS NOT ?", (self.worker,)
            ).fetchall()
            ended = 0
            for worker, life in others:
                if not is_alive(_life_path(self.path, life)):
                    ended += self._bury(worker)
                    with suppress(OSError):
                        _life_path(self.path, life).unlink()
            self._forget_old()
            return ended

    def _bury(self, worker: int | None) -> int:
        """Close all that a worker has open, pessimistically. Returns how many of its calls were in flight."""
        with self._immediate() as books:
            open_calls = self._db.execute(
                "SELECT count(*) FROM holds WHERE state = 'held' AND purpose = 'call' AND worker IS ?", (worker,)
            ).fetchone()[0]
            accounts = self._db.execute("SELECT id FROM accounts WHERE is_open AND worker IS ?", (worker,)).fetchall()
            for (account_id,) in accounts:
                account = books.account(account_id)
                if account is not None and account.is_open:  # not closed with its parent just now
                    close_open_account(books, account_id, MAX_TREE_DEPTH)
            self._db.execute("UPDATE workers SET ended = ? WHERE id IS ?", (_now(), worker))
            return int(open_calls)

    def _forget_old(self) -> None:
        """Drop the holds that ended long ago. What they cost stays in their accounts."""
        before = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).isoformat(timespec="milliseconds")
        self._db.execute("DELETE FROM holds WHERE ended < ?", (before,))

    def _check_open(self) -> None:
        if self._closed:
            raise LedgerError("the ledger is closed")
        if self._process != os.getpid():
            raise LedgerError("this ledger was opened before a fork: open it anew in the child")

    @contextmanager
    def _transaction(self) -> Iterator[Books]:
        with self._lock, _explained(self.path):
            self._check_open()
            with self._immediate() as books:
                yield books

    @contextmanager
    def _immediate(self) -> "Iterator[_SQLiteBooks]":
        self._db.execute("BEGIN IMMEDIATE")
        books = _SQLiteBooks(self._db)
        try:
            yield books
            books.flush()
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


class _SQLiteBooks:
    """The accounts and holds that one transaction looked at. Changes are written at its end, and only those."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._accounts: dict[str, Account] = {}
        self._stored: dict[str, tuple[Any, ...]] = {}
        self._holds: dict[str, HoldEntry] = {}
        self._stored_holds: set[str] = set()
        self._changed_holds: dict[str, HoldEntry] = {}

    def account(self, account_id: str) -> Account | None:
        found = self._accounts.get(account_id)
        if found is None:
            row = self._db.execute(f"{_SELECT_ACCOUNT} WHERE id = ?", (account_id,)).fetchone()
            found = None if row is None else self._loaded(row)
        return found

    def _loaded(self, row: tuple[Any, ...]) -> Account:
        account_id, kind, path, parent, worker, frozen, is_open = row[:7]
        if account_id in self._accounts:
            return self._accounts[account_id]
        caps, carved, spent, held, reserved, overdrawn = (row[at : at + 3] for at in range(7, 25, 3))
        account = Account(
            account_id, kind, path, parent, worker, Caps(*caps), (bool(carved[0]), bool(carved[1]), bool(carved[2])),
            Amounts(*spent), Amounts(*held), Amounts(*reserved), Amounts(*overdrawn), frozen, bool(is_open),
        )  # fmt: skip
        self._accounts[account_id] = account
        self._stored[account_id] = _changing(account)
        return account

    def put_account(self, account: Account) -> None:
        self._accounts[account.id] = account

    def hold(self, hold_id: str) -> HoldEntry | None:
        found = self._holds.get(hold_id)
        if found is None:
            row = self._db.execute(f"SELECT {_HOLD_COLUMNS} FROM holds WHERE id = ?", (hold_id,)).fetchone()  # noqa: S608
            found = None if row is None else self._loaded_hold(row)
        return found

    def _loaded_hold(self, row: tuple[Any, ...]) -> HoldEntry:
        if row[0] in self._holds:
            return self._holds[row[0]]
        entry = HoldEntry(row[0], row[1], row[2], row[3], Amounts(*row[6:9]), row[4], row[5], Amounts(*row[9:12]))
        self._holds[entry.id] = entry
        self._stored_holds.add(entry.id)
        return entry

    def put_hold(self, entry: HoldEntry) -> None:
        self._holds[entry.id] = self._changed_holds[entry.id] = entry

    def open_holds(self, account_id: str) -> list[HoldEntry]:
        query = f"SELECT {_HOLD_COLUMNS} FROM holds WHERE account = ? AND state = 'held'"  # noqa: S608
        entries = [self._loaded_hold(row) for row in self._db.execute(query, (account_id,)).fetchall()]
        return [entry for entry in entries if entry.state == "held"]

    def open_children(self, account_id: str) -> list[Account]:
        rows = self._db.execute(f"{_SELECT_ACCOUNT} WHERE parent = ? AND is_open", (account_id,)).fetchall()
        return [account for account in map(self._loaded, rows) if account.is_open]

    def drop_closed(self, account: Account) -> None:
        """All is kept for a while; SQLiteLedger forgets it by its age."""

    def flush(self) -> None:
        now = _now()
        for account in self._accounts.values():
            values, stored = _changing(account), self._stored.get(account.id)
            if stored is None:
                fixed = (account.id, account.kind, account.path, account.parent, account.worker)
                self._db.execute(_INSERT_ACCOUNT, (*fixed, *values, now))
            elif values != stored:
                self._db.execute(_UPDATE_ACCOUNT, (*values, None if account.is_open else now, account.id))
        for entry in self._changed_holds.values():
            ended = None if entry.state == "held" else now
            if entry.id in self._stored_holds:
                self._db.execute(
                    "UPDATE holds SET state = ?, spent_picodollars = ?, spent_tokens = ?, spent_calls = ?, ended = ? "
                    "WHERE id = ? AND state = 'held'",
                    (entry.state, *entry.spent, ended, entry.id),
                )
            else:
                self._db.execute(
                    f"INSERT INTO holds ({_HOLD_COLUMNS}, opened, ended) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
                    (
                        entry.id, entry.account, entry.worker, entry.model[:200], entry.purpose, entry.state,
                        *entry.amounts, *entry.spent, now, ended,
                    ),
                )  # fmt: skip


def _changing(account: Account) -> tuple[Any, ...]:
    return (
        account.frozen, int(account.is_open), *account.caps, *map(int, account.carved), *account.spent, *account.held,
        *account.reserved, *account.overdrawn,
    )  # fmt: skip


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to a ledger's file; a new file is for its owner alone. sqlite3.Error or OSError if that fails."""
    if not read_only:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    db = sqlite3.connect(uri, uri=True, timeout=OPEN_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA foreign_keys = ON")
    return db


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the tables to this version, in one transaction. LedgerError if the file is not ours, or newer than we."""
    check_version(db, path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    try:
        version = check_version(db, path)
        for script in MIGRATIONS[version:]:
            for statement in script.split(";"):
                if statement.strip():
                    db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def check_version(db: sqlite3.Connection, path: Path) -> int:
    """The version of the file's tables; 0 for an empty file. LedgerError if it is not a ledger that we can read."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    is_empty = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not is_empty and application != APPLICATION_ID:
        raise LedgerError(f"{path} is a database of something else, not a ledger: name another file")
    if version > VERSION:
        raise LedgerError(f"{path} was written by a newer version of Divebell: upgrade this one to use it")
    return version


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """SQLite's errors as ours, in a sentence."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise LedgerBusy(f"another process is writing to the ledger {path}") from None
        raise LedgerError(f"the ledger {path} cannot be used: {error}") from None
    except sqlite3.IntegrityError as error:
        raise LedgerError(f"the ledger {path} refused an entry that breaks its rules: {error}") from None
    except sqlite3.Error as error:
        raise LedgerError(f"{path} cannot be read as a ledger: {error}") from None
    except OverflowError:
        raise LedgerError("an amount is over what a ledger can hold, 9.2 million dollars") from None
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be opened: {error.strerror or error}") from None


def _life_path(path: Path, life: str) -> Path:
    return path.with_name(f"{path.name}-worker-{life}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


_open_ledgers: "weakref.WeakSet[SQLiteLedger]" = weakref.WeakSet()


def _after_fork() -> None:
    """A forked child must not keep its parent's locks, and must not touch its connections."""
    for ledger in list(_open_ledgers):
        if ledger._life is not None:
            ledger._life.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
