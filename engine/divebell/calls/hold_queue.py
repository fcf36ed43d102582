"""Where a call waits for its hold, and for a place among the calls in flight.

Backpressure. A call that does not fit beside those in flight waits until they have settled, first come, first served in
each account; so near its cap a run slows down instead of failing. It waits without a place among the concurrent calls,
because what it waits for (a child, say) may need that place.
"""

import functools
import logging
import random
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

import anyio

from divebell.calls.ledger_waiting import RECOVER_SECONDS, aretry_while_busy
from divebell.calls.logs import log_waiting
from divebell.concurrency import FairLimit
from divebell.errors import BudgetExceeded, LedgerError
from divebell.models.protocol import Model, ModelRequest
from divebell.models.traits import image_tokens_of, surcharge_percent_of
from divebell_bridge.money.charges import Hold
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.patience import MONEY_WAIT_SECONDS

LOOK_AGAIN_SECONDS = 0.05
"""How often a waiting call looks, because other processes that share the ledger do not report what they settle."""

_log = logging.getLogger("divebell.budget")


class HoldQueue:
    """The queue of one query, its children included. At most `max_concurrent` of its calls have a hold and a place.

    shared_places: the engine's limit of concurrent calls, and its tenants'.
    """

    def __init__(self, max_concurrent: int, shared_places: FairLimit, tenant: str) -> None:
        self._places = anyio.Semaphore(max_concurrent, fast_acquire=True)  # the call itself lets others run
        self._shared_places = shared_places
        self._tenant = tenant
        self._gates: WeakKeyDictionary[Meter, anyio.Lock] = WeakKeyDictionary()
        self._settled = anyio.Event()
        self._paused_until: dict[str, float] = {}  # by the model's name

    async def acquire(
        self, meter: Meter, model: Model, request: ModelRequest, *, least: int | None, name: str, is_last: bool
    ) -> Hold:
        """A hold for the call, and with it a place; `release` gives the place back. `least`: the output limit to which
        the hold may lower the request's.

        A call that was in the queue when the endpoint asked for a pause keeps to it too, out of the others' way.
        """
        model_name = model.name
        open_hold = functools.partial(
            meter.hold,
            model_name,
            request.sent_texts(),
            request.max_output_tokens,
            least_output_tokens=least,
            other_input_tokens=image_tokens_of(model, request.sent_images()),
            name=name,
            is_last=is_last,
            surcharge_percent=surcharge_percent_of(model),
        )
        while True:
            while (seconds := self._pause_seconds(model_name)) > 0:
                await anyio.sleep(seconds * random.uniform(1.0, 1.2))
            async with self._gates.setdefault(meter, anyio.Lock(fast_acquire=True)):
                hold = await self._acquire_in_turn(meter, model_name, open_hold)
            if hold is not None:
                return hold

    def release(self) -> None:
        """Give a call's place back."""
        self._shared_places.release(self._tenant)
        self._places.release()

    def pause(self, model: str, seconds: float) -> None:
        """Start no call of this model for this many seconds."""
        until = time.monotonic() + seconds
        self._paused_until[model] = max(until, self._paused_until.get(model, until))

    def report_settled(self) -> None:
        """Wake the calls that wait for money: a hold has been settled."""
        self._settled.set()
        self._settled = anyio.Event()

    async def _acquire_in_turn(self, meter: Meter, model: str, open_hold: Callable[[], Hold]) -> Hold | None:
        """The hold, as the first in line of this meter; None if the model has been paused meanwhile."""
        last_recovery = began = time.monotonic()
        has_waited = False
        while True:
            await self._take_place()
            if self._pause_seconds(model):
                self.release()
                return None
            settled = self._settled
            try:
                return await aretry_while_busy(open_hold, also_unavailable=True)
            except BudgetExceeded as refusal:
                self.release()
                if not refusal.waiting_helps:
                    raise
                if meter.owns_account(refusal.account):
                    began = time.monotonic()  # its own calls and children end, and however long they take
                elif time.monotonic() - began > MONEY_WAIT_SECONDS:
                    refusal.args = (f"{refusal}; the call has waited {MONEY_WAIT_SECONDS:g} s for it",)
                    raise
                if not has_waited:
                    log_waiting(meter.run_id, model, refusal)
                has_waited = True
            except BaseException:
                self.release()
                raise
            last_recovery = await _wait_for_money(meter, settled, last_recovery)

    async def _take_place(self) -> None:
        """Take a place among the calls of this query, and then one among those of its tenant and engine. Whoever has
        both waits for nothing more than the call, so nobody waits in a ring."""
        await self._places.acquire()
        try:
            await self._shared_places.acquire(self._tenant)
        except BaseException:
            self._places.release()
            raise

    def _pause_seconds(self, model: str) -> float:
        return max(self._paused_until.get(model, 0.0) - time.monotonic(), 0.0)


async def _wait_for_money(meter: Meter, settled: anyio.Event, last_recovery: float) -> float:
    """Wait until something has settled, here or elsewhere. Returns when somebody last looked for dead processes."""
    with anyio.move_on_after(LOOK_AGAIN_SECONDS * random.uniform(0.5, 1.5)):
        await settled.wait()
    if time.monotonic() - last_recovery < RECOVER_SECONDS:
        return last_recovery
    try:
        await aretry_while_busy(meter.ledger.recover)
    except LedgerError as error:  # then another process looks, or this one later
        _log.warning("what dead processes hold cannot be looked for: %s", error)
    return time.monotonic()
