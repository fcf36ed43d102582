"""The ledger: the accounts of tenants, runs and children, and every hold in them. Each operation is one transaction.

Guaranteed, from any number of threads, and of processes where the ledger is shared: `spent + held <= cap` in every
account at every moment; a hold's id is used once and ends once; an operation that raises has changed nothing.

Not guaranteed: that a hold ends by itself. A hold is never given back because time has passed, since the call may have
been billed. Those of a process that died are posted as spent by `recover`, in full.

The API key, prompts and completions are never in it: it sees names, ids and numbers.

`Ledger` holds the operations and their rules (escrow.py); a subclass says where the accounts are kept, by giving
`_transaction`: MemoryLedger is one process's own (memory_ledger.py), SQLiteLedger a file that many share
(sqlite/ledger.py).
"""

import unicodedata
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Self

from divebell_bridge.money import escrow
from divebell_bridge.money.amounts import NOTHING, Amounts, Caps
from divebell_bridge.money.backlog import Backlog
from divebell_bridge.money.books import (
    Books,
    chain_of,
    check_turn,
    close_open_account,
    days_with_open_runs,
    decide_replacing,
    end_hold,
    open_below_of,
    put_accounts,
)
from divebell_bridge.money.changes import Changes
from divebell_bridge.money.errors import ConfigurationError, LedgerError
from divebell_bridge.money.escrow import (
    MAX_TREE_DEPTH,
    Account,
    AccountKind,
    Bid,
    Grant,
    HoldEntry,
    HoldPurpose,
    HoldState,
)

MAX_TENANT_NAME = 100


class Ledger(ABC):
    """Keeps the accounts. Thread-safe. Operations may raise LedgerError: LedgerUnavailableError if they may succeed
    later, LedgerBusyError if a moment's wait helps."""

    worker: int | None = None
    """The number of this process, where several share the ledger."""

    is_shared = False
    """Whether other processes write to it, so that whoever waits for money has to look again by the clock."""

    def __init__(self) -> None:
        self.changes = Changes()
        """Notifies those who wait in this process when something is given back."""
        self.backlog = Backlog()
        """The ends that could not be written yet. Nothing new is set aside before they are."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Books]:
        """A transaction: all or nothing, and isolated from every other."""

    def _reading(self) -> AbstractContextManager[Books]:
        """The books as they are at one moment, to be read. What is put there is not kept."""
        return self._transaction()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027  (a ledger may have nothing to close)
        """Close the ledger. What this process still holds is posted as spent."""

    def recover(self) -> int:
        """Post the holds of dead processes as spent, and close their accounts. Returns how many holds that were."""
        return 0

    def tenant(
        self, name: str, *, total: Caps | None = None, per_day: Caps | None = None, today: date | None = None
    ) -> str:
        """Make sure that the tenant and its account for today exist. Returns the id of today's.

        Caps replace those that the ledger has; None keeps them, so that a cap is never lifted by leaving it out.
        A day is a day of UTC. A run counts on the day on which it began.
        """
        _check_tenant(name)
        _check_amounts(*(cap for cap in (*(total or ()), *(per_day or ())) if cap is not None))
        day = (today or datetime.now(UTC).date()).isoformat()
        # Prefixes that no name can make up: a tenant called "acme@daily" is not the daily account of "acme".
        tenant_id, daily_id, day_id = f"tenant:{name}", f"daily:{name}", f"day:{day}:{name}"
        with self._transaction() as books:
            tenant = books.account(tenant_id) or Account(tenant_id, "tenant", name)
            # Keeps the caps of all days; nothing is ever booked in it.
            daily = books.account(daily_id) or Account(daily_id, "daily", f"{name}, each day", tenant_id)
            account = books.account(day_id) or Account(day_id, "day", f"{name}, {day}", tenant_id)
            if total is not None:
                _set_caps(tenant, total)
            if per_day is not None:
                _set_caps(daily, per_day)
                # A cap binds the runs of yesterday that go on, too.
                for day_before in days_with_open_runs(books, tenant_id):
                    _set_caps(day_before, per_day)
                    books.put_account(day_before)
            _set_caps(account, daily.caps)
            put_accounts(books, [tenant, daily, account])
        if total is not None or per_day is not None:
            self.changes.notify()
        return account.id

    def _check_may_add(self, *, opening: bool = False) -> None:  # noqa: B027  (a ledger may have nothing to look at)
        """Raise LedgerError if nothing new may be set aside now. opening: an account is about to be opened."""

    def open(
        self,
        account_id: str,
        *,
        kind: AccountKind,
        label: str,
        parent: str | None,
        wanted: Caps,
        in_full: bool = False,
        ticket: int | None = None,
    ) -> Caps:
        """Open a run's or a child's account, and return the caps that it got: no more than its parent has free.

        label: names the account for people.
        in_full: refuse, with `waiting_helps`, where more could be had once others have closed (escrow.allot), or
            where others wait in line. ticket: the place in that line (`stand_in_line`), which is given up by opening.
        Raises BudgetExceeded if the parent has nothing free, LedgerError if the id was used before.
        """
        _check_amounts(*(cap for cap in wanted if cap is not None))
        self.backlog.catch_up()
        self._check_may_add(opening=True)
        with self._transaction() as books:
            if books.account(account_id) is not None:
                raise LedgerError(f"account {account_id} already exists")
            account = Account(account_id, kind, label, parent, self.worker, wanted)
            if parent is not None:
                parents = chain_of(books, parent)
                if not parents[0].is_open:
                    raise LedgerError(f"the budget of {parents[0].label} is closed")
                if len(parents) >= MAX_TREE_DEPTH:
                    raise LedgerError(f"accounts nest at most {MAX_TREE_DEPTH} deep")
                below = open_below_of(books)
                account.caps, account.carved = escrow.allot(parents, wanted, below, in_full=in_full)
                if (in_full or ticket is not None) and any(account.carved):
                    check_turn(books, parents, account, ticket)
                escrow.open_child(parents, account)
                put_accounts(books, parents)
            books.put_account(account)
            if ticket is not None:
                books.drop_ticket(ticket)
        if ticket is not None:
            self.changes.notify()
        return account.caps

    def stand_in_line(self, parent: str) -> int:
        """A ticket: the last place in the line of those who wait for the money of this account's tenant.

        It has to be renewed (`renew_ticket`) at least every STALE_TICKET_SECONDS, or the others go on without it.
        """
        self.backlog.catch_up()
        self._check_may_add()
        with self._transaction() as books:
            return books.add_ticket(chain_of(books, parent)[-1].id)

    def is_first_in_line(self, parent: str, ticket: int) -> bool:
        """Whether nobody with an earlier ticket waits."""
        with self._reading() as books:
            first = books.first_ticket(chain_of(books, parent)[-1].id)
            return first is None or first >= ticket

    def renew_ticket(self, ticket: int) -> bool:
        """Stay in line. False where the others have gone on without it: then a new one is needed."""
        with self._transaction() as books:
            return books.renew_ticket(ticket)

    def leave_line(self, ticket: int) -> None:
        """Give up the place in line."""
        with self._transaction() as books:
            books.drop_ticket(ticket)
        self.changes.notify()

    def hold(
        self,
        account_id: str,
        hold_id: str,
        bid: Bid,
        *,
        model: str,
        reserve: bool = False,
        replacing: str | None = None,
    ) -> Grant:
        """Hold the worst case of a call. Returns what is held, and its output limit, which may be lower than the bid's.

        reserve: kept back for the run's last call, which takes its place by `replacing` it, in the same transaction.
        Raises BudgetExceeded if it does not fit, LedgerError if the id was used before.
        """
        self.backlog.catch_up()
        self._check_may_add()
        with self._transaction() as books:
            if books.hold(hold_id) is not None:
                raise LedgerError(f"hold {hold_id} already exists")
            chain = chain_of(books, account_id)
            grant = decide_replacing(books, chain, bid, replacing)
            _check_amounts(*grant.amounts)
            escrow.place_hold(chain, grant.amounts, reserve=reserve)
            purpose: HoldPurpose = "reserve" if reserve else "call"
            books.put_hold(HoldEntry(hold_id, account_id, self.worker, model, grant.amounts, purpose))
            put_accounts(books, chain)
            return grant

    def settle(self, hold_id: str, spent: Amounts, *, state: HoldState = "settled", overrun: bool = False) -> HoldEntry:
        """End a hold: `spent` is what it cost. `state` is "settled", "uncertain" or "refunded".

        A hold that has ended already, because its account was closed or its process was taken for dead, stays as it
        ended. Returns the hold as it is kept.
        """
        if state not in ("settled", "uncertain", "refunded") or (state == "refunded" and spent != NOTHING):
            raise LedgerError(f"a hold cannot end as {state!r} with {tuple(spent)} spent")
        _check_amounts(*spent)
        with self._transaction() as books:
            entry = books.hold(hold_id)
            if entry is None:
                raise LedgerError(f"there is no hold {hold_id}")
            if entry.state == "held":
                end_hold(books, entry, spent, state, overrun)
            return entry

    def close_account(self, account_id: str) -> Amounts:
        """Close a run's or a child's account: what is left of its allotment is its parent's again.

        Calls that are still in flight are posted as spent in full, and open children are closed first. Returns what was
        spent. An account that is closed, or not there, is left alone.
        """
        with self._transaction() as books:
            account = books.account(account_id)
            if account is None or not account.is_open:
                return account.spent if account is not None else NOTHING
            spent = close_open_account(books, account_id, MAX_TREE_DEPTH)
        self.changes.notify()
        return spent

    def settle_eventually(
        self, hold_id: str, spent: Amounts, *, state: HoldState = "settled", overrun: bool = False
    ) -> HoldEntry | None:
        """As `settle`, but later, where the ledger cannot be written now (Backlog): None is returned then."""
        return self.backlog.run_or_keep(
            f"the end of call {hold_id[:12]}", lambda: self.settle(hold_id, spent, state=state, overrun=overrun)
        )

    def close_eventually(self, account_id: str) -> Amounts | None:
        """As `close_account`, but later, where the ledger cannot be written now (Backlog): None is returned then."""
        return self.backlog.run_or_keep(f"the closing of {account_id[:20]}", lambda: self.close_account(account_id))

    def leave_line_eventually(self, ticket: int) -> None:
        """As `leave_line`, but later where the ledger cannot be written now."""
        self.backlog.run_or_keep(f"leaving the line as number {ticket}", lambda: self.leave_line(ticket))

    def account(self, account_id: str) -> Account | None:
        """A copy of the account as it is now; None if there is none."""
        with self._reading() as books:
            account = books.account(account_id)
            return None if account is None else replace(account)

    def room(self, account_id: str) -> Caps:
        """What is free for the account now."""
        with self._reading() as books:
            return escrow.room(chain_of(books, account_id), open_below_of(books))


def _check_amounts(*amounts: int) -> None:
    """A negative amount would create money."""
    for amount in amounts:
        if type(amount) is not int or amount < 0:
            raise LedgerError(f"amounts in a ledger are whole numbers, 0 or more, not {amounts}")


def _check_tenant(name: object) -> None:
    """Also refuses names that look like another tenant's, because they would have caps and days of their own."""
    if not isinstance(name, str) or not name or len(name) > MAX_TENANT_NAME or not name.isprintable():
        is_fit = False
    else:
        is_fit = name == unicodedata.normalize("NFC", name.strip())
    if not is_fit:
        raise ConfigurationError(
            f"a tenant's name is a printable text of up to {MAX_TENANT_NAME} characters, without spaces at its ends "
            f"and in Unicode's form NFC, not {str(name)[:120]!a}"
        )


def _set_caps(account: Account, caps: Caps) -> None:
    """Set the caps. If a cap is below what is spent and held, nothing more is allowed, and nothing is taken back."""
    account.caps = caps
    escrow.count_overdrawn(account)
