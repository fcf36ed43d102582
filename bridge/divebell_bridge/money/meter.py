"""The meter: one run's own view of its budget. Hold before a call, settle after it; children get an allotment.

How it counts. Before a call, `hold` sets aside the worst that the call can cost (bids.py). After the call, `settle`
replaces the hold by a charge: what the provider reported, the whole hold where the cost is not known (a timeout, an
error, a cancellation, a reply without usage), or nothing where the call surely never ran (charges.py).

Guaranteed: `spent + held <= cap` at every moment, in every `Limit`, over a run and all its children, from
any number of threads (ledger.py); so that a run's cost never exceeds its cap under the rate card, given a provider that
honours the output limit it was sent and bills by byte-level tokens. Where a provider reports more than it was allowed,
what it reports is booked, and the run takes no more calls.

Not guaranteed: to use the budget up. Whoever calls `hold` waits where `waiting_helps` says so (calls/metered_calls.py).
"""

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from hashlib import sha256

from divebell_bridge.money.amounts import NO_CAPS, NOTHING, Caps, Limit
from divebell_bridge.money.bids import CallBid, affordable_reserve, worst_case_input_tokens
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.charges import Charge, Hold
from divebell_bridge.money.dollars import dollars
from divebell_bridge.money.errors import BudgetExceeded, ConfigurationError, LedgerError, UnknownPriceError
from divebell_bridge.money.escrow import Fixed
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.memory_ledger import MemoryLedger
from divebell_bridge.money.rates import FREE, Rate, RateCard
from divebell_bridge.money.tally import Tally

_log = logging.getLogger("divebell.budget")


class Meter:
    """The budget of one run, or of a child. Thread-safe. Whoever makes one closes it.

    ledger: where the account is; by default this run's own, in memory.
    parent_account: the tenant's account for today, in that ledger.
    deadline: when the budget's seconds are over, by time.monotonic; by default they begin now.
    in_full, ticket: as in Ledger.open.
    Raises BudgetExceeded if the tenant has nothing left.
    """

    def __init__(
        self,
        budget: Budget,
        rates: RateCard,
        *,
        ledger: Ledger | None = None,
        parent_account: str | None = None,
        run_id: str | None = None,
        deadline: float | None = None,
        in_full: bool = False,
        ticket: int | None = None,
    ) -> None:
        run_id = run_id or secrets.token_hex(16)
        self.ledger = ledger or MemoryLedger()
        if deadline is None and budget.seconds is not None:
            deadline = time.monotonic() + budget.seconds
        self._begin(budget, rates, run_id, "0", deadline, None)
        self.ledger.open(
            self._account_id,
            kind="run",
            label=self.account,
            parent=parent_account,
            wanted=budget.caps,
            in_full=in_full,
            ticket=ticket,
        )

    def _begin(
        self, budget: Budget, rates: RateCard, run_id: str, path: str, deadline: float | None, parent: "Meter | None"
    ) -> None:
        self.budget = budget
        self.run_id = run_id
        self.path = path
        self._rates = rates
        self._account_id = account_id_of(run_id, path)
        self._deadline = deadline
        self._parent = parent
        self._children: list[Meter] = []
        self._lock: threading.Lock = parent._lock if parent is not None else threading.Lock()  # one for the tree
        self._total = Tally()
        self._by_model: dict[str, Tally] = {}
        self._open: dict[str, Hold] = {}
        self._holds = 0
        self._reserve: str | None = None
        self._frozen = ""
        self._closed = False
        self._closed_in_ledger = False

    def child(self, path: str, sharing: int) -> "Meter":
        """The meter of a child run, with an allotment: an equal share of what is free now for each of the `sharing`
        that are to share it. What the child leaves comes back when it is closed. BudgetExceeded if nothing is free."""
        share = Caps(
            *(
                None if free is None else max(-(-free // max(sharing, 1)), 1)
                for free in self.ledger.room(self._account_id)
            )
        )
        self.check_time()
        child = _ChildMeter(self, path, share)
        with self._lock:
            self._children = [each for each in self._children if not each._closed_in_ledger] + [child]
        return child

    def rate_of(self, model: str, surcharge_percent: int = 0) -> Rate:
        """The model's rate. UnknownPriceError if there is none and there is a cap in dollars to hold."""
        return self._rates.rate(model, surcharge_percent) or self._rate_of_unpriced(model)

    def _rate_of_unpriced(self, model: str) -> Rate:
        if self.ledger.room(self._account_id).picodollars is None:  # now: a tenant may get a cap while its run is going
            return FREE
        raise UnknownPriceError(model)

    @property
    def account(self) -> str:
        """The label of this budget's account, for people: what errors name."""
        name = f"run {self.run_id[:12]}"
        return name if self._parent is None else f"{name}, child {self.path}"

    def owns_account(self, label: str) -> bool:
        """Whether that is the label of this run's account, or of one of its children's."""
        return label.startswith(f"run {self.run_id[:12]}")

    @property
    def seconds_left(self) -> float | None:
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)

    def check_time(self) -> None:
        """Raise BudgetExceeded if the budget's seconds are over."""
        left, cap = self.seconds_left, self.budget.seconds
        if left is not None and left <= 0:
            raise BudgetExceeded(
                f"the budget's {cap:g} s are over", limit="seconds", cap=cap, spent=cap, account=self.account
            )

    def hold(
        self,
        model: str,
        texts: Sequence[str],
        max_output_tokens: int,
        *,
        least_output_tokens: int | None = None,
        other_input_tokens: int = 0,
        name: str | None = None,
        is_last: bool = False,
        surcharge_percent: int = 0,
    ) -> Hold:
        """Set the worst case of one call aside. `settle` ends the hold, with a charge of it.

        least_output_tokens: how far the output limit may be lowered for the call to fit; by default not at all.
        other_input_tokens: the worst case of what is sent beside the texts, such as images.
        name: distinguishes this call, and this attempt at it, from all others of the run; by default a number.
        is_last: this is the call that `keep_back` kept something back for.
        surcharge_percent: how much more than the list price the model's endpoint may cost.

        Raises BudgetExceeded if it does not fit, with `waiting_helps` where it may once calls in flight have ended.
        """
        if max_output_tokens < 1:
            raise ConfigurationError(f"a call needs an output limit of 1 token or more, not {max_output_tokens}")
        self.check_time()
        priced = self._rates.rate(model, surcharge_percent)
        rate = priced or self._rate_of_unpriced(model)
        input_tokens = worst_case_input_tokens(texts, rate) + other_input_tokens
        least = max_output_tokens if least_output_tokens is None else min(least_output_tokens, max_output_tokens)
        bid = CallBid(rate, input_tokens, max_output_tokens, max(least, 1))
        hold_id = self._new_id(name)
        grant = self.ledger.hold(
            self._account_id, hold_id, bid, model=model, replacing=self._reserve if is_last else None
        )
        hold = Hold(
            hold_id, model, rate, input_tokens, grant.output_tokens, grant.amounts, is_priced=priced is not None
        )
        with self._lock:
            self._open[hold_id] = hold
            self._count(model, Tally(calls=1))
        return hold

    def keep_back(self, model: str, plans: Sequence[tuple[int, int]]) -> None:
        """Keep something back for the run's last call, so that a run whose budget is used up can still answer.

        plans: as in bids.affordable_reserve. Without limits there is nothing to keep.
        """
        free = self.ledger.room(self._account_id)
        if free == NO_CAPS or self._reserve is not None:
            return
        amounts = affordable_reserve(self.rate_of(model), plans, free)
        if amounts == NOTHING:
            return
        reserve = self._new_id("reserve")
        try:
            self.ledger.hold(self._account_id, reserve, Fixed(amounts), model=model, reserve=True)
        except BudgetExceeded:  # another run of the tenant was quicker
            return
        self._reserve = reserve

    def _new_id(self, name: str | None) -> str:
        """Unique for the run, its place in the tree and the call, and the same when the run is repeated."""
        with self._lock:
            self._holds += 1
            name = name if name is not None else f"call {self._holds}"
        return sha256(f"{self._account_id}\n{name}".encode("utf-8", "surrogatepass")).hexdigest()[:40]

    def settle(self, charge: Charge) -> Tally:
        """End the charge's hold. Returns what is booked: the charge, or the whole hold if the account was closed before
        or this process was taken for dead."""
        hold, booked, overrun = charge.hold, charge.booked, charge.overrun
        with self._lock:
            if self._open.pop(hold.id, None) is None:
                if self._closed:  # the run ended first, and charged the whole hold
                    return hold.charge_in_full().booked
                raise AssertionError("a hold is ended exactly once")
        try:
            entry = self.ledger.settle_eventually(hold.id, charge.amounts, state=charge.state, overrun=bool(overrun))
            state = charge.state if entry is None else entry.state
        except LedgerError as error:  # for good
            with self._lock:
                is_over = self._closed
            if not is_over:
                _log.error("what a call cost could not be written, and it is charged in full: %s", error)
            state = "uncertain"
        if state != charge.state:  # the account was closed before, or this process taken for dead
            booked, overrun = hold.charge_in_full().booked, ""
        with self._lock:
            self._count(hold.model, booked)
        if overrun and self._is_frozen_in_ledger():
            self._freeze(hold, overrun)
        return booked

    def _is_frozen_in_ledger(self) -> bool:
        try:
            account = self.ledger.account(self._account_id)
        except LedgerError:
            return True
        return account is not None and bool(account.frozen)

    def _freeze(self, hold: Hold, used: str) -> None:
        self._frozen = (
            f"{hold.model!r} used {used}, and its request allowed {hold.input_tokens:,} + {hold.output_tokens:,}: "
            "the cost is booked, and the run takes no more calls"
        )
        _log.error("the budget of run %s is frozen: %s", self.run_id, self._frozen)
        meter: Meter | None = self._parent
        while meter is not None:
            meter._frozen = meter._frozen or self._frozen
            meter = meter._parent

    def _count(self, model: str, booked: Tally) -> None:
        """Add it to the tally of this run, and of its parents. The lock is held."""
        meter: Meter | None = self
        while meter is not None:
            meter._total.add(booked)
            meter._by_model.setdefault(model, Tally()).add(booked)
            meter = meter._parent

    def note(self, model: str, booked: Tally) -> None:
        """Count an answer that needed no call, for `summary`. It does not count against caps."""
        with self._lock:
            self._count(model, booked)

    def close(self) -> bool:
        """End the account: calls in flight are charged in full, and what is left is the parent's or tenant's again.

        False where the ledger cannot be written now: it is written as soon as possible (Ledger.backlog).
        """
        for child in list(self._children):
            child.close()
        with self._lock:
            self._closed = True
            left_open, self._open = list(self._open.values()), {}
            for hold in left_open:
                self._count(hold.model, hold.charge_in_full().booked)
            if self._closed_in_ledger:
                return True
            self._closed_in_ledger = True
        try:
            return self.ledger.close_eventually(self._account_id) is not None
        except LedgerError as error:  # for good
            _log.error("the budget of %s could not be closed, and stays set aside: %s", self.account, error)
            return False

    def summary(self) -> dict[str, object]:
        """What has been used, children included: {"calls", "input_tokens", ..., "dollars": Decimal, "models": {name:
        the same}}; "frozen" says why the run takes no more calls, where a provider broke its limit."""
        with self._lock:
            return {
                **self._total.as_dict(),
                "held_dollars": dollars(self._held_picodollars()),
                "frozen": self._frozen,
                "models": {name: tally.as_dict() for name, tally in self._by_model.items()},
            }

    def _held_picodollars(self) -> int:
        own = sum(hold.picodollars for hold in self._open.values())
        return own + sum(child._held_picodollars() for child in self._children)

    def left(self) -> dict[str, object]:
        """What is free now, None if there is no limit: for `budget()` in a cell. Plain data."""
        free = self.ledger.room(self._account_id)
        left: dict[str, object] = {limit.unit: free[limit] for limit in Limit}
        money = None if free.picodollars is None else float(dollars(free.picodollars))
        return {**left, Limit.PICODOLLARS.unit: money, "seconds": self.seconds_left}


class _ChildMeter(Meter):
    """The meter of a child run: its parent's budget, rates and deadline, with an account of its own."""

    def __init__(self, parent: Meter, path: str, wanted: Caps) -> None:
        self.ledger = parent.ledger
        self._begin(parent.budget, parent._rates, parent.run_id, path, parent._deadline, parent)
        self.ledger.open(self._account_id, kind="child", label=self.account, parent=parent._account_id, wanted=wanted)


def account_id_of(run_id: str, path: str = "0") -> str:
    """The id that a run's account has in the ledger, or a child's."""
    return f"run:{run_id}/{path}"
