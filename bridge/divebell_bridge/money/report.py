"""What a ledger says, as plain data for people and programs: workers, the tree of accounts, holds, totals.

How spending is reported. A run's allotment is held in its tenant's account until the run is closed, spent or not. Here
an account's `spent` includes what open runs and children below have spent so far, and `held` is only what is not spent
yet; the sum of the two is the ledger's.

`LedgerReports` is what a store of ledgers must provide for that; sqlite/report.py does. Nothing here opens a file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol, Self, get_args

from divebell_bridge.money.amounts import NO_CAPS, NOTHING, Amounts, Caps, Limit, total
from divebell_bridge.money.escrow import MAX_TREE_DEPTH, Account, AccountKind, Below, HoldState, room

ACCOUNT_KINDS: tuple[AccountKind, ...] = get_args(AccountKind)
MAX_ROWS = 20_000
"""Of each kind that is reported. `LedgerReports.is_cut` says whether there were more."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that has, or had, the ledger open. `process` is its number where it ran. Times are ISO 8601, UTC."""

    id: int
    process: int
    began: str
    ended: str | None
    is_alive: bool

    @property
    def has_died(self) -> bool:
        """Whether it is gone, and what it left open has not been closed."""
        return self.ended is None and not self.is_alive


@dataclass(slots=True)
class AccountReport:
    """An account as people see it, with the accounts under it. `left` is what is free for it now, None: no limit.

    per_day: of a tenant, the caps of each of its days.
    """

    account: Account
    worker: Worker | None
    opened: str
    closed: str | None
    spent: Amounts = NOTHING
    held: Amounts = NOTHING
    left: Caps = NO_CAPS
    per_day: Caps = NO_CAPS
    children: "list[AccountReport]" = field(default_factory=list)

    @property
    def state(self) -> str:
        """ "open", "frozen", "closed", or "died": open, and the process that opened it is dead."""
        if not self.account.is_open:
            return "closed"
        if self.worker is not None and self.worker.has_died:
            return "died"
        return "frozen" if self.account.frozen else "open"


@dataclass(frozen=True, slots=True)
class TenantReport:
    """A tenant in one row. `left_today` is what its runs may still use today, under both caps; None: no limit."""

    name: str
    spent_today: Amounts
    held_today: Amounts
    per_day: Caps
    left_today: Caps
    spent: Amounts
    held: Amounts
    total: Caps
    left: Caps
    open_runs: int


@dataclass(frozen=True, slots=True)
class HoldReport:
    """A hold, its account's label, the tenant's name if it has one, and the process that made it."""

    id: str
    account: str
    tenant: str | None
    model: str
    purpose: str
    state: str
    held: Amounts
    spent: Amounts
    opened: str
    ended: str | None
    worker: Worker | None


@dataclass(frozen=True, slots=True)
class Totals:
    """The ledger in a few numbers. `held` is for calls in flight, `reserved` for the last calls of open runs.

    died_*: what dead processes hold and have open.
    """

    tenants: int
    open_runs: int
    open_children: int
    closed_runs: int
    spent: Amounts
    open_calls: int
    held: Amounts
    reserved: Amounts
    alive: int
    died: int
    died_calls: int
    died_held: Amounts
    died_accounts: int


class LedgerReports(Protocol):
    """One look at a ledger, as a context manager: whatever one of them reports is of one moment. Nothing is changed.

    location: where the ledger is, for people. workers: the processes by their number, those at work first. is_cut:
    whether something was left out of the reports so far, because there was too much.
    Its methods raise LedgerError if the ledger cannot be read.
    """

    @property
    def location(self) -> str: ...

    @property
    def workers(self) -> Mapping[int, Worker]: ...

    @property
    def is_cut(self) -> bool: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_error: object) -> None: ...

    def accounts(
        self, *, closed_runs: int = 0, every_day: bool = False, today: date | None = None
    ) -> list[AccountReport]:
        """The tenants, and the runs that have none, with what is under them, newest first.

        Days are today's and those of the runs that are reported, or every one. Besides the open runs and children there
        are the last `closed_runs` runs that were closed, and then the closed children of all runs that are reported.
        """
        ...

    def tenants(self, *, today: date | None = None) -> list[TenantReport]:
        """Each tenant in one row, by name."""
        ...

    def has_tenant(self, name: str) -> bool: ...

    def holds(
        self, *, tenant: str | None = None, state: HoldState = "held", limit: int = MAX_ROWS, died_only: bool = False
    ) -> list[HoldReport]:
        """The holds in that state, newest first; of one tenant, or of all. died_only: those of dead processes."""
        ...

    def hold(self, hold_id: str) -> HoldReport | None:
        """One hold by its id."""
        ...

    def totals(self) -> Totals:
        """What the whole ledger has. `spent` counts each charge once, in closed runs and open ones."""
        ...


def tree_of(reports: dict[str, AccountReport]) -> list[AccountReport]:
    """The accounts under their parents; those whose parents are not there on top. Accounts in a ring are left out."""
    roots: list[AccountReport] = []
    for each in reports.values():
        above = None if each.account.parent is None else reports.get(each.account.parent)
        if each.account.kind == "daily":
            if above is not None:
                above.per_day = each.account.caps
        else:
            (roots if above is None else above.children).append(each)

    def below(account: Account) -> Iterator[Account]:
        waiting = list(reports[account.id].children)
        while waiting:
            report = waiting.pop()
            if report.account.is_open:
                yield report.account
                waiting.extend(report.children)

    for root in roots:
        _add_up(root, [], MAX_TREE_DEPTH, below)
    return _sort(roots)


def tenant_report(tenant: AccountReport, day: str) -> TenantReport:
    """A tenant of the tree, on that day (ISO 8601). A day without an account has spent nothing."""
    days = [each for each in tenant.children if each.account.kind == "day"]
    today = next((each for each in days if each.account.label.endswith(f", {day}")), None)
    left = tenant.left
    if today is None:
        left_today = Caps(*(_lowest(tenant.per_day[limit], left[limit]) for limit in Limit))
    else:
        left_today = today.left
    return TenantReport(
        tenant.account.label,
        NOTHING if today is None else today.spent, NOTHING if today is None else today.held,
        tenant.per_day, left_today, tenant.spent, tenant.held, tenant.account.caps, left,
        sum(run.account.kind == "run" and run.account.is_open for each in days for run in each.children),
    )  # fmt: skip


def _lowest(*caps: int | None) -> int | None:
    """The lowest of the caps that there are."""
    return min((cap for cap in caps if cap is not None), default=None)


def _add_up(report: AccountReport, above: list[Account], depth: int, below: Below) -> tuple[Amounts, Amounts]:
    """Work out what is spent, held and left in this account and those below.

    Returns what the account above must add to its spending, and take from what it holds.
    """
    if depth <= 0:
        report.children.clear()
    account = report.account
    chain = [account, *above]
    spent_below = spent_of_held = NOTHING
    report.children = _sort(report.children)
    for child in report.children:
        more_spent, less_held = _add_up(child, chain, depth - 1, below)
        spent_below, spent_of_held = total((spent_below, more_spent)), total((spent_of_held, less_held))
    report.spent = total((account.spent, spent_below))
    report.held = Amounts(*(max(account.held[limit] - spent_of_held[limit], 0) for limit in Limit))
    report.left = room(chain, below)
    if not account.is_open:
        return NOTHING, NOTHING
    spent = Amounts(*(report.spent[limit] if account.carved[limit] else spent_below[limit] for limit in Limit))
    less = Amounts(
        *(
            min(spent[limit], account.caps[limit] or 0) if account.carved[limit] else spent_of_held[limit]
            for limit in Limit
        )
    )
    return spent, less


_KIND_ORDER = {kind: place for place, kind in enumerate(ACCOUNT_KINDS)}


def _sort(reports: list[AccountReport]) -> list[AccountReport]:
    """Tenants by name, days and runs newest first, children in the order in which they began."""
    by_id = sorted(reports, key=lambda each: each.account.id, reverse=True)
    newest_first = sorted(by_id, key=lambda each: each.opened, reverse=True)
    return sorted(newest_first, key=_place_in_order)


def _place_in_order(report: AccountReport) -> tuple[int, str, str]:
    account = report.account
    order = _KIND_ORDER[account.kind]
    if account.kind == "tenant":
        return order, account.label, ""
    return order, "", report.opened if account.kind == "child" else ""
