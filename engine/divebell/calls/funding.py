"""`Funding`: opening a run's account, and waiting while other runs have set aside the tenant's money that it needs.

A run's whole budget is set aside when its account opens, so that the run can count on it. Most of it comes back. So a
run whose money is set aside by others stands in line, and is served in turn, across all processes that share the ledger
(Ledger.open). It waits for its whole budget, so that what a run may spend does not depend on which others are at work;
after half of its time it takes what is free. It does not wait for money that is spent: it gets the rest of a cap at
once, or is refused.

The wait is bounded by Budget.seconds, which begin with it, or by WAIT_SECONDS. Cancelling the run ends it.

Guaranteed: a run is never served before one that came earlier, unless it sets none of the tenant's money aside. So no
run starves; the price is that a small run waits behind a large one. No deadlock: a run in line has nothing set aside,
children do not wait (they get a share of what their parent has), and a run inside another run of the same tenant (a
tool that asks again) does not wait either, because the money that it needs may be held by the run that waits for it.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass

import anyio

from divebell.calls.ledger_waiting import RECOVER_SECONDS, aretry_while_busy
from divebell.calls.tenant_account import TenantAccount
from divebell_bridge.money.books import STALE_TICKET_SECONDS
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.errors import BudgetExceeded, LedgerError
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.patience import MONEY_WAIT_SECONDS
from divebell_bridge.money.rates import RateCard

WAIT_SECONDS = MONEY_WAIT_SECONDS
IN_FULL_FRACTION = 0.5
"""For this part of that time a run waits for its whole budget, rather than take what is free."""
LOOK_AGAIN_SECONDS = (0.05, 0.25)
"""How often the first in line checks whether another process has given money back; and how often the others check
whether they are first."""
RENEW_SECONDS = STALE_TICKET_SECONDS / 6

_log = logging.getLogger("divebell.budget")
_inside: ContextVar[tuple[tuple[int, str], ...]] = ContextVar("divebell_runs_inside", default=())


@contextlib.contextmanager
def mark_running_for(ledger: Ledger, tenant: str) -> Iterator[None]:
    """Mark everything in this context, also in tools, as part of a run for that tenant."""
    token = _inside.set((*_inside.get(), (id(ledger), tenant)))
    try:
        yield
    finally:
        _inside.reset(token)


@dataclass(frozen=True, kw_only=True)
class Funding:
    """The money of the runs of one RLM: the budget of each run, the prices, and the ledger and tenant that it comes
    from."""

    budget: Budget
    rates: RateCard
    ledger: Ledger
    tenant: TenantAccount | None = None

    @property
    def tenant_name(self) -> str:
        """The tenant's name; empty if the runs are nobody's."""
        return "" if self.tenant is None else self.tenant.name

    async def open_account(self, budget: Budget, run_id: str) -> Meter:
        """The meter of a run, with an account of its own for this budget.

        BudgetExceeded if the ledger does not allow it; with `waiting_helps` if the run has waited in vain.
        """
        parent = None if self.tenant is None else await aretry_while_busy(self.tenant.account_for_today)
        began, seconds = time.monotonic(), budget.seconds
        may_wait = parent is not None and (id(self.ledger), self.tenant_name) not in _inside.get()

        def open_meter(*, in_full: bool = may_wait, ticket: int | None = None) -> Meter:
            return Meter(
                budget, self.rates, ledger=self.ledger, parent_account=parent, run_id=run_id,
                deadline=None if seconds is None else began + seconds, in_full=in_full, ticket=ticket,
            )  # fmt: skip

        patience_seconds = WAIT_SECONDS if seconds is None else seconds
        try:
            return await aretry_while_busy(open_meter, seconds=patience_seconds)
        except BudgetExceeded as refusal:
            if parent is None or not (refusal.waiting_helps and may_wait):
                raise
            _log.info("a run waits: %s", refusal)
        async with _WaitingLine(self.ledger, parent) as line:
            return await _open_in_turn(line, open_meter, began, patience_seconds)


async def _open_in_turn(line: "_WaitingLine", open_meter: Callable[..., Meter], began: float, seconds: float) -> Meter:
    """The meter, once the run is the first in line and its money is free."""
    while True:
        waited = time.monotonic() - began
        is_first = await line.is_first()
        if is_first or waited >= seconds:  # then the refusal says what it waited for
            try:
                in_full = waited < seconds * IN_FULL_FRACTION
                return await aretry_while_busy(lambda: open_meter(in_full=in_full, ticket=line.ticket))  # noqa: B023 (called now)
            except BudgetExceeded as refusal:
                if not refusal.waiting_helps:
                    raise
                if waited >= seconds:
                    refusal.args = (f"{refusal}; the run has waited {seconds:g} s for it",)
                    raise
        await line.wait(LOOK_AGAIN_SECONDS[0 if is_first else 1], until=began + seconds)


class _WaitingLine:
    """A place in the line for a tenant's money, as a context manager: leaving it, for whatever reason, gives up the
    place."""

    def __init__(self, ledger: Ledger, account: str) -> None:
        self._ledger = ledger
        self._account = account
        self._renewed = self._looked_for_dead = time.monotonic()
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._stack = contextlib.ExitStack()
        self.ticket = 0

    async def __aenter__(self) -> "_WaitingLine":
        self.ticket = await aretry_while_busy(lambda: self._ledger.stand_in_line(self._account))
        self._stack.enter_context(self._ledger.changes.listen(self._wake))
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stack.close()
        with contextlib.suppress(LedgerError):  # the ledger is refused for good: there is no line any more
            self._ledger.leave_line_eventually(self.ticket)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._changed.set)

    async def is_first(self) -> bool:
        return await aretry_while_busy(lambda: self._ledger.is_first_in_line(self._account, self.ticket))

    async def wait(self, seconds: float, *, until: float) -> None:
        """Wait until money is given back in this process, or it is time to check on others."""
        left = max(until - time.monotonic(), 0.0)
        with anyio.move_on_after(min(seconds * random.uniform(0.5, 1.5), left)):
            await self._changed.wait()
        self._changed.clear()
        now = time.monotonic()
        if now - self._renewed >= RENEW_SECONDS:
            self._renewed = now
            if not await aretry_while_busy(lambda: self._ledger.renew_ticket(self.ticket)):
                self.ticket = await aretry_while_busy(lambda: self._ledger.stand_in_line(self._account))
        if now - self._looked_for_dead >= RECOVER_SECONDS:
            self._looked_for_dead = now
            with contextlib.suppress(LedgerError):  # another process looks, or this one later
                await aretry_while_busy(self._ledger.recover)
