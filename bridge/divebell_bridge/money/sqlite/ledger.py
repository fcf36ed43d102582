"""A ledger in one SQLite file, which many processes share.

Guaranteed: what a committed operation did survives the death of the process at any moment, by whatever signal; the
database itself refuses an overdraft (sqlite/schema.py). A process's death is seen by the lock that it held
(liveness.py); what it held is then posted as spent, when another process opens the ledger or waits for money, or by
`divebell ledger reconcile`.

Not guaranteed, unless `survive_power_loss` is set: that the last operations before a power cut are still there
(SQLite's synchronous=NORMAL; the file stays whole in either case). Not for network drives: SQLite's WAL needs one
machine.

Waiting for another process's transaction is short here, and then LedgerBusyError is raised: callers on an event loop
wait without blocking it.
"""

import os
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from divebell_bridge.money.books import Books, close_open_account
from divebell_bridge.money.errors import LedgerError
from divebell_bridge.money.escrow import MAX_TREE_DEPTH
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.liveness import ProcessLock, is_alive, is_same_file, lock_path
from divebell_bridge.money.sqlite.books import SQLiteBooks, now_text
from divebell_bridge.money.sqlite.file import OPEN_BUSY_SECONDS, connect, mapping_sqlite_errors, migrate, transaction
from divebell_bridge.money.sqlite.forget import OPENING_PIECES, forget_piece
from divebell_bridge.money.sqlite.place import check_names, check_place, newest_entries

BUSY_SECONDS = 0.1
FORGET_AGAIN_SECONDS = 3_600.0
"""When nothing too old is left, how long until it is looked for again."""

_UNFINISHED_WORKERS = (
    "SELECT id, life FROM workers WHERE ended IS NULL UNION "
    "SELECT id, life FROM workers WHERE id IN (SELECT worker FROM accounts WHERE is_open AND worker IS NOT NULL)"
)
"""Those that have ended as well, if they have open accounts: a process may have been taken for dead while it lived."""


class SQLiteLedger(Ledger):
    """Accounts in the SQLite file at `path`, which is made if it is not there, for its owner alone.

    survive_power_loss: wait for the disk at each operation (some milliseconds each).
    Raises LedgerError if the file is something else, is newer than this version, or cannot be written.

    Thread-safe. Do not use it in a forked child: open it again there.
    """

    is_shared = True

    def __init__(self, path: "Path | str", *, survive_power_loss: bool = False) -> None:
        super().__init__()
        self.path = Path(os.path.realpath(path))  # the files beside it are found there, whatever the current folder
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._closed = False
        self._forgets_from = time.monotonic()
        self._process_lock: ProcessLock | None = None
        self._workers: list[int] = []
        with mapping_sqlite_errors(self.path):
            self._db = connect(self.path)
            try:
                migrate(self._db, self.path)
                self._seen = check_place(self.path)
                self._db.execute(f"PRAGMA synchronous = {'FULL' if survive_power_loss else 'NORMAL'}")
                self._register()
                self._newest = newest_entries(self.path)
                self.recover()
                self._forget(OPENING_PIECES)
                self._db.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
            except BaseException:
                self._db.close()
                if self._process_lock is not None:
                    self._process_lock.close()
                raise
        _open_ledgers.add(self)

    def _register(self) -> None:
        """Let the others see this process as alive. The lock comes before the row: nobody sees a worker without it."""
        name = secrets.token_hex(8)
        lock = ProcessLock(lock_path(self.path, name))
        try:
            self.worker = self._db.execute(
                "INSERT INTO workers (life, process, began) VALUES (?, ?, ?)", (name, self._process, now_text())
            ).lastrowid
        except BaseException:
            lock.close()
            raise
        assert self.worker is not None
        self._workers.append(self.worker)
        if self._process_lock is not None:
            self._process_lock.close()
        self._process_lock = lock

    def _check_may_add(self, *, opening: bool = False) -> None:
        """LedgerError if the file is no longer the one that was opened, or is in two places, because others would not
        see what is written here. Opening an account also makes sure that this process is seen as alive, and forgets
        some of what is too old."""
        with self._lock, mapping_sqlite_errors(self.path):
            self._check_open()
            now: os.stat_result | None = None
            with suppress(FileNotFoundError):
                now = check_place(self.path) if opening else check_names(self.path)
            if now is None or (now.st_dev, now.st_ino) != (self._seen.st_dev, self._seen.st_ino):
                raise LedgerError(
                    f"the ledger {self.path} was deleted, moved or replaced while it was open: open it again"
                )
            for file, seen in self._newest.items():
                if not is_same_file(file, seen):
                    raise LedgerError(
                        f"{file}, which has the ledger's newest entries, was deleted or replaced while it was open: "
                        "other processes cannot see them, and would spend that money again. Open the ledger again"
                    )
            if not opening:
                return
            if self._process_lock is None or not self._process_lock.is_in_place():
                self._register()
            self._forget(1)

    def close(self) -> None:
        """Post what this ledger still holds as spent, and close the file."""
        if self._process == os.getpid():
            self.backlog.finish_all()
        with self._lock:
            if self._closed or self._process != os.getpid():
                return
            self._closed = True
            with suppress(sqlite3.Error, LedgerError):
                self._db.execute(f"PRAGMA busy_timeout = {int(OPEN_BUSY_SECONDS * 1000)}")
                for worker in self._workers:
                    self._close_worker(worker)
            self._db.close()
            if self._process_lock is not None:
                self._process_lock.close()

    def recover(self) -> int:
        """Post the holds of dead processes as spent, and close their accounts. Returns how many holds that were."""
        with self._lock, mapping_sqlite_errors(self.path):
            self._check_open()
            ended = 0
            for worker, name in self._db.execute(_UNFINISHED_WORKERS).fetchall():
                if worker not in self._workers and not is_alive(lock_path(self.path, name)):
                    ended += self._close_worker(worker)
                    with suppress(OSError):
                        lock_path(self.path, name).unlink()
            return ended

    def _close_worker(self, worker: int) -> int:
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
            self._db.execute("DELETE FROM tickets WHERE worker IS ?", (worker,))
            self._db.execute("UPDATE workers SET ended = ? WHERE id IS ?", (now_text(), worker))
            return int(open_calls)

    def _forget(self, pieces: int) -> None:
        """Delete some of the entries that are too old. If the file is busy, that can wait."""
        with suppress(sqlite3.Error, LedgerError):
            while pieces > 0 and time.monotonic() >= self._forgets_from:
                pieces -= 1
                if not forget_piece(self._db):
                    self._forgets_from = time.monotonic() + FORGET_AGAIN_SECONDS

    def _check_open(self) -> None:
        if self._closed:
            raise LedgerError("the ledger is closed")
        if self._process != os.getpid():
            raise LedgerError("this ledger was opened before a fork: open it again in the child")

    @contextmanager
    def _transaction(self) -> Iterator[Books]:
        with self._lock, mapping_sqlite_errors(self.path):
            self._check_open()
            with self._immediate() as books:
                yield books

    @contextmanager
    def _reading(self) -> Iterator[Books]:
        with self._lock, mapping_sqlite_errors(self.path):
            self._check_open()
            with transaction(self._db, "DEFERRED"):
                yield SQLiteBooks(self._db)

    @contextmanager
    def _immediate(self) -> Iterator[SQLiteBooks]:
        with transaction(self._db, "IMMEDIATE"):
            books = SQLiteBooks(self._db, self.worker)
            yield books
            books.flush()


_open_ledgers: "weakref.WeakSet[SQLiteLedger]" = weakref.WeakSet()


def _after_fork() -> None:
    """A forked child must not keep its parent's locks, and must not touch its connections."""
    for ledger in list(_open_ledgers):
        ledger._lock = threading.RLock()  # a thread that is not here may have held it
        ledger.backlog.forget()
        if ledger._process_lock is not None:
            ledger._process_lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
