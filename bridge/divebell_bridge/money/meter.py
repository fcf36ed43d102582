"""The meter: one run's own view of its budget. Hold before a call, settle after it; children get an allotment.

How it counts. Before a call, `hold` sets aside the worst that the call can cost: every UTF-8 byte sent as a token (a
byte-level token covers at least one byte), a margin for the framing, at the dearest input rate; and the whole output
limit that is sent to the provider. After the call, `settle` replaces the hold by what the provider reported. A call
whose cost is not known (a timeout, an error, a cancellation, a reply without usage) is `forfeit`: it costs its whole
hold. Only a call that surely never ran is refunded.

Guaranteed: `spent + held <= cap` at every moment, for dollars, tokens and calls, over a run and all its children, from
any number of threads (ledger.py); so that a run's cost never exceeds its cap under the rate card, given a provider that
honours the output limit it was sent and bills by byte-level tokens. Where a provider reports more than it was allowed,
the truth is booked, and the run takes no more calls.

Not guaranteed: to use the budget up. Whoever calls `hold` waits where `waiting_helps` says so (calls/metered_calls.py).
"""

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from divebell_bridge.money.budget import Budget, dollars
from divebell_bridge.money.errors import BudgetExceeded, ConfigurationError, LedgerError, UnknownPrice
from divebell_bridge.money.escrow import NOTHING, Amounts, Caps, Fixed
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.memory_ledger import MemoryLedger
from divebell_bridge.money.rates import FREE, Rate, RateCard
from divebell_bridge.money.tally import Tally

TOKENS_PER_MESSAGE = 16  # framing: role, separators
TOKENS_PER_REQUEST = 64
CHEAPER_TIERS = frozenset({"flex", "batch"})
"""Service tiers that never cost more than the standard one. They are charged as that where the rate does not know them;
every other tier that it does not know costs the whole hold."""
MAX_REPORTED_TOKENS = 10**9
"""A provider that reports more of one call than this talks nonsense, which is not booked: the call costs its hold, and
the run takes no more."""
RESERVE_FRACTION = 8
LAST_RESERVE_FRACTION = 4
"""A run keeps back what its last call needs, but no more than an eighth of its budget; a quarter for the smallest call
that is of use."""

_log = logging.getLogger("divebell.budget")


def worst_case_input_tokens(texts: Sequence[str], rate: Rate = FREE) -> int:
    """The most input tokens that messages with these texts can be."""
    return sum(map(rate.most_input_tokens, texts)) + TOKENS_PER_MESSAGE * len(texts) + TOKENS_PER_REQUEST


@dataclass(frozen=True, slots=True)
class CallBid:
    """What one call may cost, for any output limit from `least_output_tokens` to `output_tokens` (escrow.Bid)."""

    rate: Rate
    input_tokens: int
    output_tokens: int
    least_output_tokens: int

    def amounts(self, output_tokens: int) -> Amounts:
        worst = self.rate.hold_picodollars(self.input_tokens, output_tokens)
        return Amounts(worst, self.input_tokens + output_tokens, 1)

    def output_tokens_within(self, room: Caps) -> int:
        most = self.output_tokens
        if room.picodollars is not None:
            within = self.rate.output_tokens_within(room.picodollars, self.input_tokens)
            most = most if within is None else min(most, within)
        if room.tokens is not None:
            most = min(most, room.tokens - self.input_tokens)
        return max(most, 0)


@dataclass(frozen=True, slots=True)
class Hold:
    """Set aside for one call. Ended exactly once, by `settle`, `forfeit` or `refund` of the meter that gave it.

    `output_tokens` is the limit to send to the provider: the hold rests on it.
    """

    id: str
    model: str
    rate: Rate
    input_tokens: int
    output_tokens: int
    amounts: Amounts
    is_priced: bool = True
    """Whether the model's price is known. If not, nothing is held in dollars, and nothing is limited in them."""

    @property
    def picodollars(self) -> int:
        return self.amounts.picodollars


class Meter:
    """The budget of one run, or of a child. Thread-safe. Whoever makes one closes it.

    ledger: where the account is; by default this run's own, in memory.
    parent_account: the tenant's account for today, in that ledger.
    deadline: when the budget's seconds are over, by time.monotonic; by default they begin now.
    in_full, ticket: as in Ledger.open.
    Raises BudgetExceeded where the tenant has nothing left.
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
        wanted = Caps(budget.cap_picodollars, budget.tokens, budget.calls)
        if deadline is None and budget.seconds is not None:
            deadline = time.monotonic() + budget.seconds
        self._begin(budget, rates, run_id, "0", deadline, None)
        self.ledger.open(
            self._account,
            kind="run",
            path=self.where,
            parent=parent_account,
            wanted=wanted,
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
        self._account = account_of(run_id, path)
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
        child = object.__new__(Meter)
        child._begin(self.budget, self._rates, self.run_id, path, self._deadline, self)
        child.ledger = self.ledger
        share = Caps(
            *(None if free is None else -(-free // max(sharing, 1)) for free in self.ledger.room(self._account))
        )
        self.check_time()
        self.ledger.open(
            child._account, kind="child", path=child.where, parent=self._account, wanted=_at_least_one(share)
        )
        with self._lock:
            self._children = [each for each in self._children if not each._closed_in_ledger] + [child]
        return child

    def rate_of(self, model: str, surcharge_percent: int = 0) -> Rate:
        """The model's rate. UnknownPrice if there is none and there is a cap in dollars to hold."""
        rate = self._rates.rate(model, surcharge_percent)
        if rate is not None:
            return rate
        if self.ledger.room(self._account).picodollars is None:  # now: a tenant may get a cap while its run is going
            return FREE
        raise UnknownPrice(model)

    @property
    def where(self) -> str:
        """Whose budget this is, for people: what errors name as `path`."""
        name = f"run {self.run_id[:12]}"
        return name if self._parent is None else f"{name}, child {self.path}"

    def is_of_run(self, where: str) -> bool:
        """Whether that is the `where` of this run, or of one of its children."""
        return where.startswith(f"run {self.run_id[:12]}")

    @property
    def seconds_left(self) -> float | None:
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)

    def check_time(self) -> None:
        """Raise BudgetExceeded if the budget's seconds are over."""
        left, cap = self.seconds_left, self.budget.seconds
        if left is not None and left <= 0:
            raise BudgetExceeded(
                f"the budget's {cap:g} s are over", limit="seconds", cap=cap, spent=cap, path=self.where
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
        """Set the worst case of one call aside. `settle`, `forfeit` or `refund` ends the hold.

        least_output_tokens: how far the output limit may be lowered for the call to fit; by default not at all.
        other_input_tokens: the worst case of what is sent beside the texts, such as images.
        name: tells this call from the run's others, and each attempt at it from the others; by default a number.
        is_last: this is the call that `keep_back` kept something back for.
        surcharge_percent: how much more than the list price the model's endpoint may cost.

        Raises BudgetExceeded where it does not fit, with `waiting_helps` where it may once calls in flight have ended.
        """
        if max_output_tokens < 1:
            raise ConfigurationError(f"a call needs an output limit of 1 token or more, not {max_output_tokens}")
        self.check_time()
        rate = self.rate_of(model, surcharge_percent)
        input_tokens = worst_case_input_tokens(texts, rate) + other_input_tokens
        least = max_output_tokens if least_output_tokens is None else min(least_output_tokens, max_output_tokens)
        bid = CallBid(rate, input_tokens, max_output_tokens, max(least, 1))
        hold_id = self._new_id(name)
        output_tokens = self.ledger.hold(
            self._account, hold_id, bid, model=model, replacing=self._reserve if is_last else None
        )
        is_priced = self._rates.rate(model) is not None
        hold = Hold(hold_id, model, rate, input_tokens, output_tokens, bid.amounts(output_tokens), is_priced)
        with self._lock:
            self._open[hold_id] = hold
            self._count(model, Tally(calls=1))
        return hold

    def keep_back(self, model: str, plans: Sequence[tuple[int, int]]) -> None:
        """Keep something back for the run's last call, so that a run whose budget is used up can still answer.

        plans: input and output tokens of that call, the best plan first. The first one is taken that needs no more than
        an eighth of what is free; or the last, if it needs no more than a quarter. Where none is so small, no money and
        no tokens are kept back: what is too little for any call would only be kept from the others. Without limits
        there is nothing to keep.
        """
        free = self.ledger.room(self._account)
        if free == Caps() or self._reserve is not None:
            return
        kept = self._affordable(self.rate_of(model), plans, free)
        calls = 1 if free.calls is not None and free.calls > 1 else 0
        amounts = Amounts(kept[0], kept[1], calls)
        if amounts == NOTHING:
            return
        reserve = self._new_id("reserve")
        try:
            self.ledger.hold(self._account, reserve, Fixed(amounts), model=model, reserve=True)
        except BudgetExceeded:  # another run of the tenant was quicker
            return
        self._reserve = reserve

    def _affordable(self, rate: Rate, plans: Sequence[tuple[int, int]], free: Caps) -> tuple[int, int]:
        """The pico-dollars and tokens of the plan that `keep_back` takes; 0 of what is not limited."""
        fractions = [RESERVE_FRACTION] * len(plans) + [LAST_RESERVE_FRACTION]
        for (input_tokens, output_tokens), fraction in zip([*plans, *plans[-1:]], fractions, strict=False):
            needed = CallBid(rate, input_tokens, output_tokens, output_tokens).amounts(output_tokens)[:2]
            if all(left is None or amount * fraction <= left for amount, left in zip(needed, free[:2], strict=True)):
                dollars_kept, tokens_kept = (
                    0 if left is None else amount for amount, left in zip(needed, free[:2], strict=True)
                )
                return dollars_kept, tokens_kept
        return 0, 0

    def _new_id(self, name: str | None) -> str:
        """Unique for the run, its place in the tree and the call, and the same when the run is repeated."""
        with self._lock:
            self._holds += 1
            name = name if name is not None else f"call {self._holds}"
        return sha256(f"{self._account}\n{name}".encode("utf-8", "surrogatepass")).hexdigest()[:40]

    def settle(
        self,
        hold: Hold,
        input_tokens: int,
        output_tokens: int,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        *,
        service_tier: str = "",
        reported_picodollars: int = 0,
    ) -> Tally:
        """Replace the hold by what the provider reported, or by the whole hold where that makes no sense.

        service_tier: "" for the standard one. reported_picodollars: what the provider says that the call cost, which
        counts where it is more than the rate's price of the tokens.
        """
        numbers = (input_tokens, output_tokens, cached_input_tokens, cache_write_tokens)
        booked = self.foreseen(hold, *numbers, service_tier=service_tier, reported_picodollars=reported_picodollars)
        overrun = ""
        if all(type(number) is int and number >= 0 for number in numbers) and (
            input_tokens > hold.input_tokens or output_tokens > hold.output_tokens
        ):
            overrun = f"{input_tokens:,} + {output_tokens:,} tokens"
        elif hold.is_priced and booked.spent_picodollars > hold.picodollars:
            overrun = f"${dollars(booked.spent_picodollars):f} by its own word"
        if booked.uncertain_calls:
            charged = hold.amounts._replace(picodollars=booked.spent_picodollars)
            return self._end(hold, booked, charged, "uncertain", overrun)
        spent = Amounts(booked.spent_picodollars, input_tokens + output_tokens, 1)
        return self._end(hold, booked, spent, "settled", overrun)

    def foreseen(
        self,
        hold: Hold,
        input_tokens: int,
        output_tokens: int,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        *,
        service_tier: str = "",
        reported_picodollars: int = 0,
    ) -> Tally:
        """What `settle` would book. Changes nothing."""
        numbers = (input_tokens, output_tokens, cached_input_tokens, cache_write_tokens)
        if any(type(number) is not int or number < 0 for number in numbers):
            return whole(hold)
        if cached_input_tokens + cache_write_tokens > input_tokens:
            return whole(hold)
        if max(input_tokens, output_tokens) > MAX_REPORTED_TOKENS:
            return whole(hold)
        reported = reported_picodollars if type(reported_picodollars) is int and reported_picodollars > 0 else 0
        if not hold.rate.knows_tier(service_tier) and service_tier not in CHEAPER_TIERS:
            return whole(hold, at_least_picodollars=reported)
        tier = service_tier if hold.rate.knows_tier(service_tier) else ""
        spent = max(hold.rate.cost_picodollars(*numbers, service_tier=tier), reported)
        return Tally(0, *numbers, spent_picodollars=spent, unpriced_calls=int(not hold.is_priced and not reported))

    def forfeit(self, hold: Hold) -> Tally:
        """The call's cost is not known: it costs its whole hold."""
        return self._end(hold, whole(hold), hold.amounts, "uncertain")

    def refund(self, hold: Hold) -> Tally:
        """The call surely never ran: it cost nothing."""
        return self._end(hold, Tally(calls=-1, refunded_calls=1), NOTHING, "refunded")

    def _end(self, hold: Hold, booked: Tally, spent: Amounts, state: str, overrun: str = "") -> Tally:
        """overrun: what was used, where it is more than the request allowed."""
        with self._lock:
            if self._open.pop(hold.id, None) is None:
                if self._closed:  # the run ended first, and charged the whole hold
                    return whole(hold)
                raise AssertionError("a hold is ended exactly once")
        try:
            ended = self.ledger.settle_eventually(hold.id, spent, state=state, overrun=bool(overrun))
            ended_as = state if ended is None else ended.state
        except LedgerError as error:  # for good
            with self._lock:
                is_over = self._closed
            if not is_over:
                _log.error("what a call cost could not be written, and it is charged in full: %s", error)
            ended_as = "uncertain"
        if ended_as != state:  # the account was closed before, or this process taken for dead
            booked, overrun = whole(hold), ""
        with self._lock:
            self._count(hold.model, booked)
        if overrun and self._is_frozen_in_ledger():
            self._freeze(hold, overrun)
        return booked

    def _is_frozen_in_ledger(self) -> bool:
        try:
            account = self.ledger.account(self._account)
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
        """Into this run's tally, and its parents'. The lock is held."""
        meter: Meter | None = self
        while meter is not None:
            meter._total.add(booked)
            meter._by_model.setdefault(model, Tally()).add(booked)
            meter = meter._parent

    def note(self, model: str, booked: Tally) -> None:
        """Count what was answered without a call. Limits are not concerned."""
        with self._lock:
            self._count(model, booked)

    def close(self) -> bool:
        """End the account: calls in flight are charged in full, and what is left is the parent's or tenant's again.

        False where the ledger cannot be written now: it is told as soon as it can be (Ledger.backlog).
        """
        for child in list(self._children):
            child.close()
        with self._lock:
            self._closed = True
            left_open, self._open = list(self._open.values()), {}
            for hold in left_open:
                self._count(hold.model, whole(hold))
            if self._closed_in_ledger:
                return True
            self._closed_in_ledger = True
        try:
            return self.ledger.close_eventually(self._account) is not None
        except LedgerError as error:  # for good
            _log.error("the budget of %s could not be closed, and stays set aside: %s", self.where, error)
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
        """What is free now, None where there is no limit: for `budget()` in a cell. Plain data."""
        free = self.ledger.room(self._account)
        return {
            "dollars": None if free.picodollars is None else float(dollars(free.picodollars)),
            "tokens": free.tokens,
            "calls": free.calls,
            "seconds": self.seconds_left,
        }


def account_of(run_id: str, path: str = "0") -> str:
    """The id that a run's account has in the ledger, or a child's."""
    return f"run:{run_id}/{path}"


def _at_least_one(share: Caps) -> Caps:
    return Caps(*(None if each is None else max(each, 1) for each in share))


def whole(hold: Hold, at_least_picodollars: int = 0) -> Tally:
    """What a call costs whose cost is not known. at_least_picodollars: what the provider says that it cost."""
    spent = max(hold.picodollars, at_least_picodollars)
    return Tally(
        input_tokens=hold.input_tokens,
        output_tokens=hold.output_tokens,
        spent_picodollars=spent,
        uncertain_calls=1,
        uncertain_picodollars=spent,
        unpriced_calls=int(not hold.is_priced and not at_least_picodollars),
    )
