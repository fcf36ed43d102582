"""What a ledger's file says, as plain data for people and programs: workers, the tree of accounts, holds, totals.

How spending is told. A run's allotment is held in its tenant's account until the run is closed, spent or not. Here an
account's `spent` has in it what open runs and children below have spent so far, and `held` only what is not spent yet;
the sum of the two is the ledger's.

sqlite_report.py reads it. Nothing here opens a file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from divebell_bridge.money.escrow import NO_CAPS, NOTHING, Account, Amounts, Below, Caps, room
from divebell_bridge.money.ledger import MAX_TREE_DEPTH

ACCOUNT_KINDS = ("tenant", "daily", "day", "run", "child")
_LIMITS = range(3)


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
        """It is gone, and nobody has closed what it left open."""
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
    """A tenant in a line. `left_today` is what its runs may still use today, under both caps; None: no limit."""

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
    """A hold, where it belongs (`path`, and the tenant's name if it has one), and who made it."""

    id: str
    path: str
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

    died_*: what processes hold and have open that are dead.
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


def total(amounts: Iterable[Amounts]) -> Amounts:
    """The sum in each limit."""
    sums = [0, 0, 0]
    for each in amounts:
        sums = [one + other for one, other in zip(sums, each, strict=True)]
    return Amounts(*sums)


def tree_of(found: dict[str, AccountReport]) -> list[AccountReport]:
    """The accounts under their parents; those whose parents are not there on top. Accounts in a ring are left out."""
    roots: list[AccountReport] = []
    for each in found.values():
        above = None if each.account.parent is None else found.get(each.account.parent)
        if each.account.kind == "daily":
            if above is not None:
                above.per_day = each.account.caps
        else:
            (roots if above is None else above.children).append(each)

    def below(account: Account) -> Iterator[Account]:
        reports = list(found[account.id].children)
        while reports:
            report = reports.pop()
            if report.account.is_open:
                yield report.account
                reports.extend(report.children)

    for root in roots:
        _finish(root, [], MAX_TREE_DEPTH, below)
    return _sorted(roots)


def tenant_report(tenant: AccountReport, day: str) -> TenantReport:
    """A tenant of the tree, on that day (ISO 8601). A day without an account has spent nothing."""
    days = [each for each in tenant.children if each.account.kind == "day"]
    today = next((each for each in days if each.account.path.endswith(f", {day}")), None)
    left = tenant.left
    if today is None:
        left_today = Caps(*(min(each, default=None) for each in _given(tenant.per_day, left)))
    else:
        left_today = today.left
    return TenantReport(
        tenant.account.path,
        NOTHING if today is None else today.spent, NOTHING if today is None else today.held,
        tenant.per_day, left_today, tenant.spent, tenant.held, tenant.account.caps, left,
        sum(run.account.kind == "run" and run.account.is_open for each in days for run in each.children),
    )  # fmt: skip


def _given(*caps: Caps) -> list[list[int]]:
    """In each limit the caps that there are."""
    return [[cap for cap in each if cap is not None] for each in zip(*caps, strict=True)]


def _finish(report: AccountReport, above: list[Account], depth: int, below: Below) -> tuple[Amounts, Amounts]:
    """Work out what is spent, held and left here and below.

    Returns what the account above must add to its spending, and take from what it holds.
    """
    if depth <= 0:
        report.children.clear()
    account = report.account
    chain = [account, *above]
    spent, held = list(account.spent), list(account.held)
    up, down = [0, 0, 0], [0, 0, 0]
    report.children = _sorted(report.children)
    for child in report.children:
        more, less = _finish(child, chain, depth - 1, below)
        for limit in _LIMITS:
            up[limit] += more[limit]
            down[limit] += less[limit]
    report.spent = Amounts(*(spent[limit] + up[limit] for limit in _LIMITS))
    report.held = Amounts(*(max(held[limit] - down[limit], 0) for limit in _LIMITS))
    report.left = room(chain, below)
    if not account.is_open:
        return NOTHING, NOTHING
    for limit in _LIMITS:
        if account.carved[limit]:
            up[limit] = report.spent[limit]
            down[limit] = min(up[limit], account.caps[limit] or 0)
    return Amounts(*up), Amounts(*down)


_KIND_ORDER = {kind: place for place, kind in enumerate(ACCOUNT_KINDS)}


def _sorted(reports: list[AccountReport]) -> list[AccountReport]:
    """Tenants by name, days and runs newest first, children in the order in which they began."""
    by_id = sorted(reports, key=lambda each: each.account.id, reverse=True)
    newest_first = sorted(by_id, key=lambda each: each.opened, reverse=True)
    return sorted(newest_first, key=_place_in_order)


def _place_in_order(report: AccountReport) -> tuple[int, str, str]:
    account = report.account
    order = _KIND_ORDER[account.kind]
    if account.kind == "tenant":
        return order, account.path, ""
    return order, "", report.opened if account.kind == "child" else ""
