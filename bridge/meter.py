"""The meter: counts calls, tokens and money of one run and its children, and stops what does not fit.

How it counts. Before a call, `hold` sets aside the worst that the call can cost: every UTF-8 byte sent as a token (a
byte-level token covers at least one byte), a margin for the framing, and the whole output limit that is sent to the
provider. After the call, `settle` replaces the hold by what the provider reported. A call whose usage is not known
(a timeout, an error, a cancellation, a reply without usage) costs its whole hold.

Guaranteed: at every moment `spent + held <= cap` for dollars and tokens, and calls are never more than their cap, over
a run and all its children, from any number of threads; so that the run's cost never exceeds its cap under the rate
card, given a provider that honours the output limit it was sent and bills by byte-level tokens. Where a provider
reports more than was held, the truth is booked, and the meter takes no more calls.

Not guaranteed: to use the budget up. A call whose worst case does not fit beside the holds in flight is refused, with
`waiting_helps` where it may fit once they have settled; the caller waits then (engine/loop/calls.py).
"""

import threading
import time
from dataclasses import dataclass, field

from divebell.bridge.budget import Budget, dollars
from divebell.bridge.errors import BudgetExceeded, ConfigurationError, UnknownPrice
from divebell.bridge.rates import FREE, Rate, RateCard

TOKENS_PER_MESSAGE = 16  # framing: role, separators
TOKENS_PER_REQUEST = 64


def worst_case_input_tokens(texts: list[str]) -> int:
    """The most input tokens that messages with these texts can be."""
    sent_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return sent_bytes + TOKENS_PER_MESSAGE * len(texts) + TOKENS_PER_REQUEST


@dataclass
class Account:
    """What one model used, or one run in all. `uncertain_*` is the part charged without the provider's word."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    spent_picodollars: int = 0
    uncertain_calls: int = 0
    uncertain_picodollars: int = 0

    def add(self, other: "Account") -> None:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True)
class Hold:
    """Set aside for one call until it is settled. Settled exactly once, in `Meter.settle` or `Meter.forfeit`."""

    number: int
    model: str
    rate: Rate
    input_tokens: int
    output_tokens: int
    picodollars: int


@dataclass
class _State:
    total: Account = field(default_factory=Account)
    by_model: dict[str, Account] = field(default_factory=dict)
    held_tokens: int = 0
    held_picodollars: int = 0
    holds: int = 0
    open: set[int] = field(default_factory=set)  # the numbers of the holds that are not settled
    frozen: str | None = None


class Meter:
    """The accounts of one run; its children share them. Thread-safe."""

    def __init__(self, budget: Budget, rates: RateCard) -> None:
        self.budget = budget
        self._rates = rates
        self._lock = threading.Lock()
        self._state = _State()
        self._cap_picodollars = budget.cap_picodollars
        self._started = time.monotonic()

    def rate_of(self, model: str) -> Rate:
        """The model's rate. UnknownPrice if there is none and there is a cap in dollars to hold."""
        rate = self._rates.rate(model)
        if rate is not None:
            return rate
        if self._cap_picodollars is None:
            return FREE
        raise UnknownPrice(model)

    @property
    def seconds_left(self) -> float | None:
        if self.budget.seconds is None:
            return None
        return max(self.budget.seconds - (time.monotonic() - self._started), 0.0)

    def check_time(self) -> None:
        """Raise BudgetExceeded if the budget's seconds are over."""
        left, cap = self.seconds_left, self.budget.seconds
        if left is not None and left <= 0:
            raise BudgetExceeded(f"the budget's {cap:g} s are over", limit="seconds", cap=cap, spent=cap)

    def hold(self, model: str, texts: list[str], max_output_tokens: int) -> Hold:
        """Set the worst case of one call aside, or raise BudgetExceeded. `settle` or `forfeit` closes the hold."""
        if max_output_tokens < 1:
            raise ConfigurationError(f"a call needs an output limit of 1 token or more, not {max_output_tokens}")
        rate = self.rate_of(model)
        input_tokens = worst_case_input_tokens(texts)
        worst = rate.hold_picodollars(input_tokens, max_output_tokens)
        with self._lock:
            state = self._state
            state.holds += 1
            hold = Hold(state.holds, model, rate, input_tokens, max_output_tokens, worst)
            self._check(hold)
            state.held_tokens += input_tokens + max_output_tokens
            state.held_picodollars += hold.picodollars
            state.total.calls += 1
            state.by_model.setdefault(model, Account()).calls += 1
            state.open.add(hold.number)
        return hold

    def _check(self, hold: Hold) -> None:
        state, budget, total = self._state, self.budget, self._state.total
        if state.frozen is not None:
            raise BudgetExceeded(state.frozen, limit="dollars")
        if budget.calls is not None and total.calls >= budget.calls:
            raise BudgetExceeded(
                f"all {budget.calls:,} calls of the budget are used", limit="calls", cap=budget.calls, spent=total.calls
            )
        self.check_time()
        spent_tokens = total.input_tokens + total.output_tokens
        needed = hold.input_tokens + hold.output_tokens
        if budget.tokens is not None and spent_tokens + state.held_tokens + needed > budget.tokens:
            raise BudgetExceeded(
                f"the call may take {needed:,} tokens, and {budget.tokens - spent_tokens - state.held_tokens:,} of "
                f"{budget.tokens:,} are free",
                limit="tokens", cap=budget.tokens, spent=spent_tokens, held=state.held_tokens,
                waiting_helps=bool(state.open) and spent_tokens + needed <= budget.tokens,
            )  # fmt: skip
        cap = self._cap_picodollars
        if cap is not None and total.spent_picodollars + state.held_picodollars + hold.picodollars > cap:
            needs, free = dollars(hold.picodollars), dollars(cap - total.spent_picodollars - state.held_picodollars)
            raise BudgetExceeded(
                f"the call may cost ${needs:f}, and ${free:f} of ${dollars(cap):f} is free",
                limit="dollars", cap=dollars(cap), spent=dollars(total.spent_picodollars),
                held=dollars(state.held_picodollars),
                waiting_helps=bool(state.open) and total.spent_picodollars + hold.picodollars <= cap,
            )  # fmt: skip

    def settle(self, hold: Hold, input_tokens: int, output_tokens: int, cached_input_tokens: int) -> Account:
        """Replace the hold by what the provider reported, or by the whole hold where that makes no sense."""
        if min(input_tokens, output_tokens, cached_input_tokens) < 0 or cached_input_tokens > input_tokens:
            return self.forfeit(hold)
        cost = hold.rate.cost_picodollars(input_tokens, output_tokens, cached_input_tokens)
        booked = Account(0, input_tokens, output_tokens, cached_input_tokens, cost)
        return self._close(hold, booked)

    def forfeit(self, hold: Hold) -> Account:
        """The call's cost is not known: it costs its whole hold."""
        booked = Account(0, hold.input_tokens, hold.output_tokens, 0, hold.picodollars, 1, hold.picodollars)
        return self._close(hold, booked)

    def _close(self, hold: Hold, booked: Account) -> Account:
        with self._lock:
            state = self._state
            if hold.number not in state.open:
                raise AssertionError("a hold is settled exactly once")
            state.open.discard(hold.number)
            state.held_tokens -= hold.input_tokens + hold.output_tokens
            state.held_picodollars -= hold.picodollars
            state.total.add(booked)
            state.by_model[hold.model].add(booked)
            over = booked.input_tokens > hold.input_tokens or booked.output_tokens > hold.output_tokens
            if over and (self._cap_picodollars is not None or self.budget.tokens is not None):
                state.frozen = (
                    f"{hold.model!r} used more tokens than the most that its request allowed; "
                    "the cost is booked, and the budget takes no more calls"
                )
            return booked

    def summary(self) -> dict[str, object]:
        """What has been used: {"calls", "input_tokens", ..., "dollars": Decimal, "models": {name: the same}}."""
        with self._lock:
            state = self._state
            return {
                **_as_dict(state.total),
                "held_dollars": dollars(state.held_picodollars),
                "models": {name: _as_dict(account) for name, account in state.by_model.items()},
            }

    def left(self) -> dict[str, object]:
        """What is free now, None where there is no limit: for `budget()` in a cell. Plain data."""
        with self._lock:
            state, total, budget = self._state, self._state.total, self.budget
            spent_tokens = total.input_tokens + total.output_tokens
            cap = self._cap_picodollars
            free = None if cap is None else max(cap - total.spent_picodollars - state.held_picodollars, 0)
            return {
                "dollars": None if free is None else float(dollars(free)),
                "tokens": None if budget.tokens is None else max(budget.tokens - spent_tokens - state.held_tokens, 0),
                "calls": None if budget.calls is None else budget.calls - total.calls,
                "seconds": self.seconds_left,
            }


def _as_dict(account: Account) -> dict[str, object]:
    return {
        "calls": account.calls,
        "input_tokens": account.input_tokens,
        "output_tokens": account.output_tokens,
        "cached_input_tokens": account.cached_input_tokens,
        "dollars": dollars(account.spent_picodollars),
        "uncertain_calls": account.uncertain_calls,
        "uncertain_dollars": dollars(account.uncertain_picodollars),
    }
