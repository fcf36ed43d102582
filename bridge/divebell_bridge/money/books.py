"""The books of a ledger: the accounts and holds that a store keeps, and the steps of the transactions that change them.

`Books` is what a store of accounts must provide (memory_ledger.py and sqlite/books.py do); the functions below read and
change whole chains of accounts in them by the rules of escrow.py. Atomicity is the transaction's (ledger.py).
"""

from typing import Protocol

from divebell_bridge.money import escrow
from divebell_bridge.money.amounts import NOTHING, Amounts, Limit
from divebell_bridge.money.errors import BudgetExceeded, LedgerError
from divebell_bridge.money.escrow import MAX_TREE_DEPTH, Account, Below, Bid, Grant, HoldEntry, HoldState

STALE_TICKET_SECONDS = 60.0
"""A ticket that was not renewed for that long no longer counts: the thread or event loop that took it has ended."""


class Books(Protocol):
    """The accounts and holds as one transaction sees them. What is put is kept only if the transaction succeeds."""

    def account(self, account_id: str) -> Account | None: ...

    def put_account(self, account: Account) -> None: ...

    def hold(self, hold_id: str) -> HoldEntry | None: ...

    def put_hold(self, entry: HoldEntry) -> None: ...

    def open_holds(self, account_id: str) -> list[HoldEntry]: ...

    def open_children(self, account_id: str) -> list[Account]: ...

    def open_below(self, account_id: str) -> list[Account]:
        """All open accounts under one, at any depth, except days in which nothing is open."""
        ...

    def add_ticket(self, root: str) -> int:
        """The last place in the line of those who wait for a tenant's money. Drops tickets that nobody renews."""
        ...

    def first_ticket(self, root: str) -> int | None:
        """The earliest ticket that is still renewed."""
        ...

    def renew_ticket(self, ticket: int) -> bool: ...

    def drop_ticket(self, ticket: int) -> None: ...

    def drop_closed(self, account: Account) -> None:
        """Forget what need not be kept of a run or child that has closed."""
        ...


def chain_of(books: Books, account_id: str) -> list[Account]:
    """The account, its parent, and so on up to the root. LedgerError if one is not there."""
    chain: list[Account] = []
    following: str | None = account_id
    while following is not None:
        account = books.account(following)
        if account is None or len(chain) >= MAX_TREE_DEPTH:
            raise LedgerError(f"there is no account {following}")
        chain.append(account)
        following = account.parent
    return chain


def open_below_of(books: Books) -> Below:
    """What is open under accounts, with each account's read once."""
    read_already: dict[str, list[Account]] = {}

    def below(account: Account) -> list[Account]:
        if account.id not in read_already:
            read_already[account.id] = books.open_below(account.id)
        return read_already[account.id]

    return below


def days_with_open_runs(books: Books, tenant_id: str) -> list[Account]:
    """The tenant's days that have runs which have not ended."""
    return [each for each in books.open_below(tenant_id) if each.kind == "day"]


def check_turn(books: Books, parents: list[Account], account: Account, ticket: int | None) -> None:
    """Raise BudgetExceeded if others wait for the same money and came first."""
    first = books.first_ticket(parents[-1].id)
    if first is None or (ticket is not None and ticket <= first):
        return
    limit = next(limit for limit in Limit if account.carved[limit])
    raise BudgetExceeded(
        f"other runs of {parents[-1].label} wait for its money, and came first",
        limit=limit.unit, account=parents[-1].label, waiting_helps=True,
    )  # fmt: skip


def put_accounts(books: Books, chain: list[Account]) -> None:
    for account in chain:
        books.put_account(account)


def decide_replacing(books: Books, chain: list[Account], bid: Bid, replacing: str | None) -> Grant:
    """What may be held, once the reserve that it replaces is free. Nothing changes if nothing may."""
    reserve_hold = None if replacing is None else books.hold(replacing)
    if reserve_hold is None or reserve_hold.state != "held":
        return escrow.decide(chain, bid, open_below_of(books))
    if reserve_hold.account != chain[0].id or reserve_hold.purpose != "reserve":
        raise LedgerError(f"{replacing} was not kept back for the last call of {chain[0].label}")
    escrow.settle_hold(chain, reserve_hold.amounts, NOTHING, reserve=True)
    try:
        grant = escrow.decide(chain, bid, open_below_of(books))
    except BaseException:
        escrow.place_hold(chain, reserve_hold.amounts, reserve=True)
        raise
    reserve_hold.state = "refunded"
    books.put_hold(reserve_hold)
    return grant


def end_hold(books: Books, entry: HoldEntry, spent: Amounts, state: HoldState, overrun: bool = False) -> None:
    """End a hold: what it cost is spent in its accounts, and the rest is free again."""
    chain = chain_of(books, entry.account)
    escrow.settle_hold(chain, entry.amounts, spent, reserve=entry.purpose == "reserve", overrun=overrun)
    entry.state, entry.spent = state, spent
    books.put_hold(entry)
    put_accounts(books, chain)


def close_open_account(books: Books, account_id: str, depth: int) -> Amounts:
    """Close an account and all that is open under it, pessimistically. Part of a transaction."""
    if depth <= 0:
        raise LedgerError("the accounts nest too deep")
    for child in books.open_children(account_id):
        close_open_account(books, child.id, depth - 1)
    for entry in books.open_holds(account_id):
        if entry.purpose == "reserve":
            end_hold(books, entry, NOTHING, "refunded")
        else:
            end_hold(books, entry, entry.amounts, "uncertain")
    chain = chain_of(books, account_id)
    account = chain[0]
    account.is_open = False
    if account.parent is not None:
        escrow.close_child(chain[1:], account)
    put_accounts(books, chain)
    books.drop_closed(account)
    return account.spent
