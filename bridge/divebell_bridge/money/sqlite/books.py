"""The accounts and holds of a SQLite ledger as one transaction sees them: read when asked for, written at its end."""

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from divebell_bridge.door.bounds import MAX_MODEL_NAME_CHARACTERS
from divebell_bridge.money.amounts import Amounts, Caps
from divebell_bridge.money.books import STALE_TICKET_SECONDS
from divebell_bridge.money.escrow import Account, HoldEntry
from divebell_bridge.money.sqlite.schema import by_limit, columns

_FIXED = ("id", "kind", "path", "parent", "worker")
_FIGURES = ("cap", "carved", "spent", "held", "reserved", "overdrawn")
_CHANGING = ("frozen", "is_open", *columns(*_FIGURES))
_ACCOUNT_COLUMNS = (*_FIXED, *_CHANGING)
_SELECT_ACCOUNT = f"SELECT {', '.join(_ACCOUNT_COLUMNS)} FROM accounts"  # noqa: S608  (names from above)
_INSERT_ACCOUNT = (
    f"INSERT INTO accounts ({', '.join(_ACCOUNT_COLUMNS)}, opened) "  # noqa: S608
    f"VALUES ({', '.join('?' * len(_ACCOUNT_COLUMNS))}, ?)"
)
_UPDATE_ACCOUNT = f"UPDATE accounts SET {', '.join(f'{name} = ?' for name in _CHANGING)}, closed = ? WHERE id = ?"  # noqa: S608
_OPEN_BELOW = (
    "WITH RECURSIVE below (id) AS (SELECT id FROM accounts WHERE parent = ? AND is_open AND (kind <> 'day' OR EXISTS "
    "(SELECT 1 FROM accounts AS run WHERE run.parent = accounts.id AND run.is_open)) "
    "UNION SELECT each.id FROM accounts AS each JOIN below ON each.parent = below.id WHERE each.is_open)"
)
_SELECT_BELOW = f"{_OPEN_BELOW} {_SELECT_ACCOUNT} WHERE id IN (SELECT id FROM below)"  # noqa: S608
_HOLD_COLUMNS = ("id", "account", "worker", "model", "purpose", "state", *columns("held", "spent"))
_SELECT_HOLD = f"SELECT {', '.join(_HOLD_COLUMNS)} FROM holds"  # noqa: S608
_INSERT_HOLD = (
    f"INSERT INTO holds ({', '.join(_HOLD_COLUMNS)}, opened, ended) "  # noqa: S608
    f"VALUES ({', '.join('?' * len(_HOLD_COLUMNS))}, ?, ?)"
)
_END_HOLD = (
    f"UPDATE holds SET state = ?, {', '.join(f'{name} = ?' for name in columns('spent'))}, ended = ? "  # noqa: S608
    "WHERE id = ? AND state = 'held'"
)


class SQLiteBooks:
    """The accounts and holds that one transaction looked at. Changes are written at its end, and only those."""

    def __init__(self, db: sqlite3.Connection, worker: int | None = None) -> None:
        self._db = db
        self._worker = worker
        self._accounts: dict[str, Account] = {}
        self._stored: dict[str, tuple[Any, ...]] = {}
        self._holds: dict[str, HoldEntry] = {}
        self._stored_holds: set[str] = set()
        self._changed_holds: dict[str, HoldEntry] = {}

    def account(self, account_id: str) -> Account | None:
        account = self._accounts.get(account_id)
        if account is None:
            row = self._db.execute(f"{_SELECT_ACCOUNT} WHERE id = ?", (account_id,)).fetchone()
            account = None if row is None else self._load_account(row)
        return account

    def _load_account(self, row: tuple[Any, ...]) -> Account:
        account_id, kind, label, parent, worker, frozen, is_open, *figures = row
        if account_id in self._accounts:
            return self._accounts[account_id]
        caps, carved, spent, held, reserved, overdrawn = by_limit(figures)
        account = Account(
            account_id, kind, label, parent, worker, Caps(*caps), tuple(map(bool, carved)),
            Amounts(*spent), Amounts(*held), Amounts(*reserved), Amounts(*overdrawn), frozen, bool(is_open),
        )  # fmt: skip
        self._accounts[account_id] = account
        self._stored[account_id] = _changing(account)
        return account

    def put_account(self, account: Account) -> None:
        self._accounts[account.id] = account

    def hold(self, hold_id: str) -> HoldEntry | None:
        entry = self._holds.get(hold_id)
        if entry is None:
            row = self._db.execute(f"{_SELECT_HOLD} WHERE id = ?", (hold_id,)).fetchone()
            entry = None if row is None else self._load_hold(row)
        return entry

    def _load_hold(self, row: tuple[Any, ...]) -> HoldEntry:
        hold_id, account, worker, model, purpose, state, *figures = row
        if hold_id in self._holds:
            return self._holds[hold_id]
        held, spent = by_limit(figures)
        entry = HoldEntry(hold_id, account, worker, model, Amounts(*held), purpose, state, Amounts(*spent))
        self._holds[entry.id] = entry
        self._stored_holds.add(entry.id)
        return entry

    def put_hold(self, entry: HoldEntry) -> None:
        self._holds[entry.id] = self._changed_holds[entry.id] = entry

    def open_holds(self, account_id: str) -> list[HoldEntry]:
        query = f"{_SELECT_HOLD} WHERE account = ? AND state = 'held'"
        entries = [self._load_hold(row) for row in self._db.execute(query, (account_id,)).fetchall()]
        return [entry for entry in entries if entry.state == "held"]

    def open_children(self, account_id: str) -> list[Account]:
        rows = self._db.execute(f"{_SELECT_ACCOUNT} WHERE parent = ? AND is_open", (account_id,)).fetchall()
        return [account for account in map(self._load_account, rows) if account.is_open]

    def open_below(self, account_id: str) -> list[Account]:
        rows = self._db.execute(_SELECT_BELOW, (account_id,)).fetchall()
        return [account for account in map(self._load_account, rows) if account.is_open]

    def add_ticket(self, root: str) -> int:
        self._db.execute("DELETE FROM tickets WHERE renewed < ?", (_oldest_ticket(),))
        ticket = self._db.execute(
            "INSERT INTO tickets (root, worker, renewed) VALUES (?, ?, ?)", (root, self._worker, now_text())
        ).lastrowid
        assert ticket is not None
        return ticket

    def first_ticket(self, root: str) -> int | None:
        query = "SELECT min(ticket) FROM tickets WHERE root = ? AND renewed >= ?"
        return cast(int | None, self._db.execute(query, (root, _oldest_ticket())).fetchone()[0])

    def renew_ticket(self, ticket: int) -> bool:
        renewed = self._db.execute("UPDATE tickets SET renewed = ? WHERE ticket = ?", (now_text(), ticket))
        return renewed.rowcount == 1

    def drop_ticket(self, ticket: int) -> None:
        self._db.execute("DELETE FROM tickets WHERE ticket = ?", (ticket,))

    def drop_closed(self, account: Account) -> None:
        """Nothing: everything is kept for a while, and SQLiteLedger deletes it by its age."""

    def flush(self) -> None:
        now = now_text()
        self._flush_holds(now)  # first: what an account holds is checked against them
        for account in self._accounts.values():
            values, stored = _changing(account), self._stored.get(account.id)
            if stored is None:
                fixed = (account.id, account.kind, account.label, account.parent, account.worker)
                self._db.execute(_INSERT_ACCOUNT, (*fixed, *values, now))
            elif values != stored:
                self._db.execute(_UPDATE_ACCOUNT, (*values, None if account.is_open else now, account.id))

    def _flush_holds(self, now: str) -> None:
        for entry in self._changed_holds.values():
            ended = None if entry.state == "held" else now
            if entry.id in self._stored_holds:
                self._db.execute(_END_HOLD, (entry.state, *entry.spent, ended, entry.id))
            else:
                self._db.execute(
                    _INSERT_HOLD,
                    (
                        entry.id, entry.account, entry.worker, _storable(entry.model), entry.purpose, entry.state,
                        *entry.amounts, *entry.spent, now, ended,
                    ),
                )  # fmt: skip


def _changing(account: Account) -> tuple[Any, ...]:
    return (
        account.frozen, int(account.is_open), *account.caps, *map(int, account.carved), *account.spent, *account.held,
        *account.reserved, *account.overdrawn,
    )  # fmt: skip


def _storable(name: str) -> str:
    """A model's name, whatever is in it, as SQLite can keep it."""
    return name[:MAX_MODEL_NAME_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def now_text() -> str:
    """Now, in UTC, as the tables store times: texts that sort as the times do."""
    return text_of_time(datetime.now(UTC))


def text_of_time(time: datetime) -> str:
    """A time as the tables store it."""
    return time.isoformat(timespec="milliseconds")


def _oldest_ticket() -> str:
    return text_of_time(datetime.now(UTC) - timedelta(seconds=STALE_TICKET_SECONDS))
