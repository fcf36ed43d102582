"""A ledger in this process's memory, for runs whose budgets no other process shares."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from divebell_bridge.money.books import STALE_TICKET_SECONDS, Books
from divebell_bridge.money.escrow import Account, HoldEntry
from divebell_bridge.money.ledger import Ledger


class MemoryLedger(Ledger):
    """Accounts in memory. Thread-safe.

    A run that has closed is forgotten, so it grows with its tenants, their days and the runs that are open.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._books = _MemoryBooks()

    @contextmanager
    def _transaction(self) -> Iterator[Books]:
        # Nothing is rolled back: the ledger's operations change the accounts only once all of it fits.
        with self._lock:
            yield self._books


class _MemoryBooks:
    """The accounts themselves. A transaction changes them in place, so `put_account` and `put_hold` only add what is
    new."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._children: dict[str, set[str]] = {}
        self._holds: dict[str, HoldEntry] = {}
        self._holds_of_account: dict[str, set[str]] = {}
        self._tickets: dict[int, tuple[str, float]] = {}
        """By number, in the order in which they were taken: the root account that it waits for, and until when it
        counts."""
        self._last_ticket = 0

    def account(self, account_id: str) -> Account | None:
        return self._accounts.get(account_id)

    def put_account(self, account: Account) -> None:
        if account.id in self._accounts:
            return
        self._accounts[account.id] = account
        if account.parent is not None:
            self._children.setdefault(account.parent, set()).add(account.id)

    def hold(self, hold_id: str) -> HoldEntry | None:
        return self._holds.get(hold_id)

    def put_hold(self, entry: HoldEntry) -> None:
        if entry.id not in self._holds:
            self._holds[entry.id] = entry
            self._holds_of_account.setdefault(entry.account, set()).add(entry.id)

    def open_holds(self, account_id: str) -> list[HoldEntry]:
        entries = [self._holds[hold_id] for hold_id in self._holds_of_account.get(account_id, ())]
        return [entry for entry in entries if entry.state == "held"]

    def open_children(self, account_id: str) -> list[Account]:
        children = [self._accounts[child] for child in self._children.get(account_id, ())]
        return [child for child in children if child.is_open]

    def open_below(self, account_id: str) -> list[Account]:
        accounts: list[Account] = []
        for child in self.open_children(account_id):
            below = self.open_below(child.id)
            if below or child.kind != "day":
                accounts += [child, *below]
        return accounts

    def add_ticket(self, root: str) -> int:
        now = time.monotonic()
        for number in [number for number, (_, until) in self._tickets.items() if until < now]:
            del self._tickets[number]
        self._last_ticket += 1
        self._tickets[self._last_ticket] = (root, now + STALE_TICKET_SECONDS)
        return self._last_ticket

    def first_ticket(self, root: str) -> int | None:
        now = time.monotonic()
        return next(
            (number for number, (waits_for, until) in self._tickets.items() if waits_for == root and until >= now), None
        )

    def renew_ticket(self, ticket: int) -> bool:
        if ticket not in self._tickets:
            return False
        self._tickets[ticket] = (self._tickets[ticket][0], time.monotonic() + STALE_TICKET_SECONDS)
        return True

    def drop_ticket(self, ticket: int) -> None:
        self._tickets.pop(ticket, None)

    def drop_closed(self, account: Account) -> None:
        """Forget a run with all under it. A child stays until its run closes, so that its late calls are known."""
        if account.kind != "run":
            return
        if account.parent is not None:
            self._children[account.parent].discard(account.id)
        below = [account.id]
        while below:
            each = below.pop()
            below.extend(self._children.pop(each, ()))
            for hold_id in self._holds_of_account.pop(each, ()):
                del self._holds[hold_id]
            del self._accounts[each]
