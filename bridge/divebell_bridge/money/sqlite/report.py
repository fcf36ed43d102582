"""Reading a ledger's file without becoming one of its workers: for people who want to see where the money is.

Guaranteed: nothing is written and no ledger is made; all that one reader reports is of one moment; a process that is
alive is never reported as dead. The file is not trusted, since another process wrote it: only plain tables are read,
numbers are checked, texts have a bound, and a text that is not UTF-8 is shown all the same.

Not guaranteed: that the figures are still true when they are read. SQLite may leave its own empty files beside the
ledger ("-wal", "-shm"), as any reader of such a file does.
"""

import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self

from divebell_bridge.money.amounts import Amounts, Caps, total
from divebell_bridge.money.errors import LedgerError
from divebell_bridge.money.escrow import MAX_TREE_DEPTH, Account, HoldState
from divebell_bridge.money.liveness import is_alive, lock_path
from divebell_bridge.money.report import (
    ACCOUNT_KINDS,
    MAX_ROWS,
    AccountReport,
    HoldReport,
    TenantReport,
    Totals,
    Worker,
    tenant_report,
    tree_of,
)
from divebell_bridge.money.sqlite.file import check_version, connect, mapping_sqlite_errors
from divebell_bridge.money.sqlite.schema import by_limit, columns_in

MAX_HOLDS_LOOKED_AT = 200_000
MAX_TEXT_BYTES = 100_000  # of one value in the file; SQLite refuses a longer one
READ_BUSY_MILLISECONDS = 2_000

_TABLES = ("accounts", "holds", "workers")
_ACCOUNT_FIGURES = ("cap", "carved", "spent", "held", "overdrawn")
_HOLD_FIGURES = ("held", "spent")


class SQLiteReader:
    """LedgerReports of a file: one look at the ledger in the file at `path`, as a context manager.

    Raises LedgerError if there is no file, or it is something else, newer than this version or damaged;
    LedgerBusyError if another process does not let it be read.
    """

    def __init__(self, path: "Path | str") -> None:
        self.path = Path(os.path.realpath(path))
        self.location = str(self.path)
        self.is_cut = False
        with mapping_sqlite_errors(self.path):
            if not self.path.is_file():
                raise LedgerError(f"there is no ledger at {path}: name the file that the engine was given")
            self._db = connect(self.path, read_only=True)
            try:
                self._begin()
            except BaseException:
                self._db.close()
                raise

    def _begin(self) -> None:
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_TEXT_BYTES)
        self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self._db.execute(f"PRAGMA busy_timeout = {READ_BUSY_MILLISECONDS}")
        self._db.execute("PRAGMA trusted_schema = OFF")
        self._version = check_version(self._db, self.path)
        if self._version < 1:
            raise LedgerError(f"{self.path} is empty or not a ledger: name the file that the engine was given")
        account_figures = columns_in(self._version, *_ACCOUNT_FIGURES)
        self._select_accounts = (
            "SELECT id, kind, path, parent, worker, frozen, is_open, opened, closed, "  # noqa: S608
            f"{', '.join(account_figures)} FROM accounts "
        )
        hold_figures = columns_in(self._version, *_HOLD_FIGURES)
        self._select_holds = (
            "SELECT id, account, worker, model, purpose, state, opened, ended, "  # noqa: S608
            f"{', '.join(hold_figures)} FROM holds "
        )
        plain = self._db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE TABLE %'"  # no view, no module
        ).fetchmany(100)
        if not set(_TABLES) <= {name for (name,) in plain}:
            raise LedgerError(f"{self.path} is damaged: it does not have a ledger's tables")
        # The locks before the accounts: a process that ends properly writes its end into the file, and then unlocks.
        unended = self._rows("SELECT id, life FROM workers WHERE ended IS NULL ORDER BY id DESC")
        dead = {worker for worker, name in unended if not is_alive(lock_path(self.path, name))}
        self._db.execute("BEGIN")
        self.workers: dict[int, Worker] = {}
        for number, process, began, ended in self._rows(
            "SELECT id, process, began, ended FROM workers ORDER BY ended IS NOT NULL, id DESC"
        ):
            _check_numbers(self.path, (number, process))
            alive = ended is None and number not in dead
            self.workers[number] = Worker(number, process, str(began), None if ended is None else str(ended), alive)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        rows = self._db.execute(query, values).fetchmany(MAX_ROWS + 1)
        self.is_cut = self.is_cut or len(rows) > MAX_ROWS
        return rows[:MAX_ROWS]

    def accounts(
        self, *, closed_runs: int = 0, every_day: bool = False, today: date | None = None
    ) -> list[AccountReport]:
        day = (today or datetime.now(UTC).date()).isoformat()
        with mapping_sqlite_errors(self.path):
            reports = self._load(
                "WHERE is_open AND (kind != 'day' OR ? OR substr(path, -12) = ? OR id IN "
                "(SELECT parent FROM accounts WHERE is_open AND parent IS NOT NULL)) ORDER BY opened DESC",
                (every_day, f", {day}"),
            )
            if closed_runs > 0:
                closed = "WHERE kind = ? AND NOT is_open ORDER BY closed DESC, id"
                children = self._load(closed, ("child",))
                reports |= self._load(closed + " LIMIT ?", ("run", closed_runs))
                self._add_children(reports, children)
            for _ in range(MAX_TREE_DEPTH):
                missing = {each.account.parent for each in reports.values()} - {None, *reports}
                for account_id in missing:
                    reports |= self._load("WHERE id = ?", (account_id,))
        return tree_of(reports)

    def tenants(self, *, today: date | None = None) -> list[TenantReport]:
        day = today or datetime.now(UTC).date()
        roots = self.accounts(today=day)
        return [tenant_report(each, day.isoformat()) for each in roots if each.account.kind == "tenant"]

    def _load(self, condition: str, values: tuple[object, ...]) -> dict[str, AccountReport]:
        reports = {}
        for row in self._rows(self._select_accounts + condition, values):
            account_id, kind, label, parent, worker, frozen, is_open, opened, closed, *figures = row
            caps, carved, spent, held, overdrawn = by_limit(figures)
            _check_numbers(self.path, (*carved, *spent, *held, *overdrawn, *(cap for cap in caps if cap is not None)))
            if kind not in ACCOUNT_KINDS:
                raise LedgerError(f"{self.path} is damaged: it has an account of a kind that does not exist")
            account = Account(
                str(account_id), kind, str(label), None if parent is None else str(parent), worker, Caps(*caps),
                tuple(map(bool, carved)), Amounts(*spent), Amounts(*held),
                overdrawn=Amounts(*overdrawn), frozen=str(frozen), is_open=bool(is_open),
            )  # fmt: skip
            reports[account.id] = AccountReport(
                account, self.workers.get(worker), str(opened), None if closed is None else str(closed)
            )
        return reports

    @staticmethod
    def _add_children(reports: dict[str, AccountReport], children: dict[str, AccountReport]) -> None:
        """Those of the closed children whose parents are reported."""
        for _ in range(MAX_TREE_DEPTH):
            added = {
                account_id: child
                for account_id, child in children.items()
                if child.account.parent in reports and account_id not in reports
            }
            if not added:
                return
            reports.update(added)

    def has_tenant(self, name: str) -> bool:
        with mapping_sqlite_errors(self.path):
            return bool(self._rows("SELECT 1 FROM accounts WHERE id = ?", (f"tenant:{name}",)))

    def holds(
        self, *, tenant: str | None = None, state: HoldState = "held", limit: int = MAX_ROWS, died_only: bool = False
    ) -> list[HoldReport]:
        with mapping_sqlite_errors(self.path):
            rows = self._db.execute(self._select_holds + "WHERE state = ? ORDER BY opened DESC, id", (state,))
            return list(self._hold_reports(rows, tenant, min(limit, MAX_ROWS), died_only))

    def _hold_reports(
        self, rows: sqlite3.Cursor, tenant: str | None, limit: int, died_only: bool = False
    ) -> Iterator[HoldReport]:
        places: dict[str, tuple[str, str | None]] = {}
        reported = 0
        for looked_at, row in enumerate(rows):
            hold_id, account, number, model, purpose, state, opened, ended, *figures = row
            worker = self.workers.get(number)
            if account not in places:
                places[account] = self._place(account)
            label, owner = places[account]
            if (tenant is not None and owner != tenant) or (died_only and not (worker and worker.has_died)):
                continue
            if reported == limit or looked_at >= MAX_HOLDS_LOOKED_AT:
                self.is_cut = True
                return
            _check_numbers(self.path, tuple(figures))
            held, spent = by_limit(figures)
            reported += 1
            yield HoldReport(
                str(hold_id), label, owner, str(model), str(purpose), str(state), Amounts(*held),
                Amounts(*spent), str(opened), None if ended is None else str(ended), worker,
            )  # fmt: skip

    def hold(self, hold_id: str) -> HoldReport | None:
        with mapping_sqlite_errors(self.path):
            return next(
                self._hold_reports(self._db.execute(self._select_holds + "WHERE id = ?", (hold_id,)), None, 1), None
            )

    def _place(self, account_id: str) -> tuple[str, str | None]:
        """An account's label, and the name of its tenant."""
        label, following = None, account_id
        for _ in range(MAX_TREE_DEPTH):
            row = self._db.execute("SELECT path, parent, kind FROM accounts WHERE id = ?", (following,)).fetchone()
            if row is None:
                break
            label = str(row[0]) if label is None else label
            if row[1] is None:
                return label, str(row[0]) if row[2] == "tenant" else None
            following = row[1]
        return label or "", None

    def totals(self) -> Totals:
        with mapping_sqlite_errors(self.path):
            counts = dict(
                self._rows(
                    "SELECT kind || is_open, count(*) FROM accounts WHERE kind IN ('tenant', 'run', 'child') GROUP BY 1"
                )
            )
            figures = by_limit(columns_in(self._version, "spent", "carved"))
            spent = Amounts(*map(self._spent_in_all, *figures))
            holds = self.holds()
            calls = [each for each in holds if each.purpose == "call"]
            died_calls = [each for each in calls if each.worker is not None and each.worker.has_died]
            died = [each for each in self.workers.values() if each.has_died]
            died_accounts = 0
            for each in died:
                rows = self._rows("SELECT count(*) FROM accounts WHERE is_open AND worker = ?", (each.id,))
                died_accounts += rows[0][0]
        return Totals(
            counts.get("tenant1", 0), counts.get("run1", 0), counts.get("child1", 0), counts.get("run0", 0),
            spent, len(calls), total(each.held for each in calls),
            total(each.held for each in holds if each.purpose == "reserve"),
            sum(each.is_alive for each in self.workers.values()), len(died), len(died_calls),
            total(each.held for each in died_calls), died_accounts,
        )  # fmt: skip

    def _spent_in_all(self, spent: str, carved: str) -> int:
        """In two parts, because SQLite's sum must stay under 2**63."""
        high, low = self._db.execute(
            f"SELECT sum({spent} >> 20), sum({spent} & 1048575) FROM accounts "  # noqa: S608
            f"WHERE parent IS NULL OR (is_open AND {carved})"
        ).fetchone()
        return ((high or 0) << 20) + (low or 0)


def _check_numbers(path: Path, values: tuple[object, ...]) -> None:
    if not all(type(value) is int and value >= 0 for value in values):
        raise LedgerError(f"{path} is damaged: it has an amount that is not a whole number of 0 or more")
