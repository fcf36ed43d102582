"""The ledger: the accounts of tenants, runs and children, and every hold in them. Each operation is one transaction.

Guaranteed, from any number of threads, and of processes where the ledger is shared: `spent + held <= cap` in every
account at every moment; a hold's id is used once and ends once; an operation that raises has changed nothing.

Not guaranteed: that a hold ends by itself. A hold is never given back because time has passed, since the call may have
been billed. Those of a process that died are posted as spent by `recover`, in full.

The API key, prompts and completions are never in it: it sees names, ids and numbers.

`Ledger` holds the operations and their rules (escrow.py); a subclass says where the accounts are kept, by giving
`_transaction`: MemoryLedger is one process's own (memory_ledger.py), SQLiteLedger a file that many share
(sqlite_ledger.py).
"""

import unicodedata
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Protocol

from divebell.bridge import escrow
from divebell.bridge.errors import ConfigurationError, LedgerError
from divebell.bridge.escrow import NOTHING, Account, Amounts, Bid, Caps, HoldEntry

MAX_TENANT_NAME = 100
MAX_TREE_DEPTH = 64  # accounts from a leaf to its root: 32 children, a run, a day, a tenant, and room


class Books(Protocol):
    """The accounts and holds as one transaction sees them. What is put is kept only if the transaction succeeds."""

    def account(self, account_id: str) -> Account | None: ...

    def put_account(self, account: Account) -> None: ...

    def hold(self, hold_id: str) -> HoldEntry | None: ...

    def put_hold(self, entry: HoldEntry) -> None: ...

    def open_holds(self, account_id: str) -> list[HoldEntry]: ...

    def open_children(self, account_id: str) -> list[Account]: ...

    def drop_closed(self, account: Account) -> None:
        """A run or child has closed: forget what need not be kept."""
        ...


class Ledger(ABC):
    """Keeps the accounts. Thread-safe. Operations may raise LedgerError, and LedgerBusy where a moment's wait helps."""

    worker: int | None = None
    """Who holds what this process holds, where several share the ledger."""

    is_shared = False
    """Whether others write to it, so that waiting for money to become free means looking again."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Books]:
        """All or nothing, and nobody else between."""

    def _reading(self) -> AbstractContextManager[Books]:
        """A look at how things are at one moment. What is put there is not kept."""
        return self._transaction()

    def close(self) -> None:  # noqa: B027  (a ledger may have nothing to give back)
        """Give the ledger back. What this process still holds is posted as spent."""

    def recover(self) -> int:
        """Post the holds of dead processes as spent, and close their accounts. Returns how many holds that were."""
        return 0

    def tenant(
        self, name: str, *, total: Caps | None = None, per_day: Caps | None = None, today: date | None = None
    ) -> str:
        """Make sure that the tenant and its account for today exist. Returns the id of today's.

        Caps that are given replace those there were; None keeps them, so that nobody lifts a cap by not naming it.
        A day is a day of UTC; a run counts on the day on which it began.
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
            _set_caps(account, daily.caps)
            _put(books, [tenant, daily, account])
            return account.id

    def open(self, account_id: str, *, kind: str, path: str, parent: str | None, wanted: Caps) -> Caps:
        """Open a run's or a child's account, and return the caps that it got: no more than its parent has free.

        Raises BudgetExceeded where the parent has nothing free, LedgerError where the id was used before.
        """
        _check_amounts(*(cap for cap in wanted if cap is not None))
        with self._transaction() as books:
            if books.account(account_id) is not None:
                raise LedgerError(f"there is an account {account_id} already")
            account = Account(account_id, kind, path, parent, self.worker, wanted)
            if parent is not None:
                parents = _chain(books, parent)
                if not parents[0].is_open:
                    raise LedgerError(f"the budget of {parents[0].path} is closed")
                if len(parents) >= MAX_TREE_DEPTH:
                    raise LedgerError(f"accounts nest at most {MAX_TREE_DEPTH} deep")
                account.caps, account.carved = escrow.allotted(parents, wanted)
                escrow.carve(parents, account)
                _put(books, parents)
            books.put_account(account)
            return account.caps

    def hold(
        self,
        account_id: str,
        hold_id: str,
        bid: Bid,
        *,
        model: str,
        reserve: bool = False,
        replacing: str | None = None,
    ) -> int:
        """Hold the worst case of a call, and return its output limit, which may be lower than the bid's.

        reserve: kept back for the run's last call, which takes its place by `replacing` it, in the same transaction.
        Raises BudgetExceeded where it does not fit, LedgerError where the id was used before.
        """
        with self._transaction() as books:
            if books.hold(hold_id) is not None:
                raise LedgerError(f"there is a hold {hold_id} already")
            chain = _chain(books, account_id)
            output_tokens = _decide(books, chain, bid, replacing)
            amounts = bid.amounts(output_tokens)
            _check_amounts(*amounts)
            escrow.place(chain, amounts, reserve=reserve)
            purpose = "reserve" if reserve else "call"
            books.put_hold(HoldEntry(hold_id, account_id, self.worker, model, amounts, purpose))
            _put(books, chain)
            return output_tokens

    def settle(self, hold_id: str, spent: Amounts, *, state: str = "settled", overrun: bool = False) -> HoldEntry:
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
                _end(books, entry, spent, state, overrun)
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
            return close_open_account(books, account_id, MAX_TREE_DEPTH)

    def account(self, account_id: str) -> Account | None:
        """A copy of the account as it is now; None if there is none."""
        with self._reading() as books:
            account = books.account(account_id)
            return None if account is None else replace(account)

    def room(self, account_id: str) -> Caps:
        """What is free for the account now."""
        with self._reading() as books:
            return escrow.room(_chain(books, account_id))


def _check_amounts(*amounts: int) -> None:
    """No money is made by holding or spending less than nothing."""
    if any(type(amount) is not int or amount < 0 for amount in amounts):
        raise LedgerError(f"an amount in a ledger is a whole number from 0, not one of {amounts}")


def _check_tenant(name: object) -> None:
    """Also refuses what would look like another tenant, and have caps and days of its own."""
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
    """A cap under what is spent and held already allows no more, and takes nothing back."""
    account.caps = caps
    for limit in range(len(caps)):
        escrow.count_overdrawn(account, limit)


def _chain(books: Books, account_id: str) -> list[Account]:
    chain: list[Account] = []
    following: str | None = account_id
    while following is not None:
        account = books.account(following)
        if account is None or len(chain) >= MAX_TREE_DEPTH:
            raise LedgerError(f"there is no account {following}")
        chain.append(account)
        following = account.parent
    return chain


def _put(books: Books, chain: list[Account]) -> None:
    for account in chain:
        books.put_account(account)


def _decide(books: Books, chain: list[Account], bid: Bid, replacing: str | None) -> int:
    """The output limit that may be held, once the reserve that it replaces is free. Nothing changes if it may not."""
    kept = None if replacing is None else books.hold(replacing)
    if kept is None or kept.state != "held":
        return escrow.decide(chain, bid)
    if kept.account != chain[0].id or kept.purpose != "reserve":
        raise LedgerError(f"{replacing} was not kept back for the last call of {chain[0].path}")
    escrow.replace(chain, kept.amounts, NOTHING, reserve=True)
    try:
        output_tokens = escrow.decide(chain, bid)
    except BaseException:
        escrow.place(chain, kept.amounts, reserve=True)
        raise
    kept.state = "refunded"
    books.put_hold(kept)
    return output_tokens


def _end(books: Books, entry: HoldEntry, spent: Amounts, state: str, overrun: bool = False) -> None:
    chain = _chain(books, entry.account)
    escrow.replace(chain, entry.amounts, spent, reserve=entry.purpose == "reserve", overrun=overrun)
    entry.state, entry.spent = state, spent
    books.put_hold(entry)
    _put(books, chain)


def close_open_account(books: Books, account_id: str, depth: int) -> Amounts:
    """Close an account and all that is open under it, pessimistically. Part of a transaction."""
    if depth <= 0:
        raise LedgerError("the accounts nest too deep")
    for child in books.open_children(account_id):
        close_open_account(books, child.id, depth - 1)
    for entry in books.open_holds(account_id):
        if entry.purpose == "reserve":
            _end(books, entry, NOTHING, "refunded")
        else:
            _end(books, entry, entry.amounts, "uncertain")
    chain = _chain(books, account_id)
    account = chain[0]
    account.is_open = False
    if account.parent is not None:
        escrow.give_back(chain[1:], account)
    _put(books, chain)
    books.drop_closed(account)
    return account.spent
