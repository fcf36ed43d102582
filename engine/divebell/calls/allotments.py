"""The budgets of a run's children: who may start, and with how much."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from divebell.calls.ledger_waiting import aretry_while_busy
from divebell_bridge.money.meter import Meter


class Allotments:
    """Gives each child a place among the `max_concurrent` at work, and an allotment from the run's budget.

    What is free is shared equally by the children that wait for their turn (all of a batch, at first) and the run
    itself. So no child can spend what its siblings or its parent need; what it leaves goes to the children after it.
    """

    def __init__(self, meter: Meter, *, max_concurrent: int) -> None:
        self._meter = meter
        self._places = anyio.Semaphore(max_concurrent)
        self._waiting = 0

    @asynccontextmanager
    async def next(self, path: str) -> AsyncIterator[Meter]:
        """A child's meter, open for as long as the context. BudgetExceeded if nothing is free for it."""
        self._waiting += 1
        try:
            await self._places.acquire()
            sharing = self._waiting + 1
        finally:
            self._waiting -= 1
        try:
            meter = await aretry_while_busy(lambda: self._meter.child(path, sharing), also_unavailable=True)
            try:
                yield meter
            finally:
                meter.close()
        finally:
            self._places.release()
