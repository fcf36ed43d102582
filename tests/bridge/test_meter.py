"""The meter: at every moment, what is spent and what is held fit under the cap together."""

import threading
import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from divebell_bridge.money.bids import TOKENS_PER_MESSAGE, TOKENS_PER_REQUEST, worst_case_input_tokens
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.charges import Hold
from divebell_bridge.money.dollars import picodollars
from divebell_bridge.money.errors import BudgetExceeded, UnknownPriceError
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import Rate, RateCard

RATE = Rate.per_million("1.00", "10.00", "0.10")
CARD = RateCard({"m": RATE, "free": Rate(0, 0), "dear": Rate.per_million("100", "1000")})


def spent(meter: Meter) -> Decimal:
    dollars = meter.summary()["dollars"]
    assert isinstance(dollars, Decimal)
    return dollars


@given(st.lists(st.text(max_size=50), max_size=5))
def test_the_worst_case_is_every_byte_a_token_and_some_framing(texts: list[str]) -> None:
    expected = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    assert worst_case_input_tokens(texts) == expected + TOKENS_PER_MESSAGE * len(texts) + TOKENS_PER_REQUEST


def test_a_hold_sets_the_worst_case_aside_and_settling_frees_the_rest() -> None:
    meter = Meter(Budget(dollars="1"), CARD)
    hold = meter.hold("m", ["x" * 920], 100)
    assert hold.input_tokens == 1000
    assert meter.summary()["held_dollars"] == Decimal("0.002")
    assert meter.left()["dollars"] == pytest.approx(0.998)
    booked = meter.settle(hold.charge(500, 10, 0))
    assert booked.spent_picodollars == 500 * 10**6 + 10 * 10**7
    assert meter.summary()["held_dollars"] == 0
    assert spent(meter) == Decimal("0.0006")


def test_a_call_that_does_not_fit_is_refused_with_the_figures() -> None:
    meter = Meter(Budget(dollars="0.001"), CARD)
    with pytest.raises(BudgetExceeded) as refused:
        meter.hold("m", ["x" * 920], 100)
    assert (refused.value.limit, refused.value.cap, refused.value.spent, refused.value.held) == (
        "dollars", Decimal("0.001"), 0, 0,
    )  # fmt: skip
    assert not refused.value.waiting_helps
    assert meter.summary()["calls"] == 0


def test_waiting_helps_only_where_calls_in_flight_may_make_room() -> None:
    meter = Meter(Budget(dollars="0.003"), CARD)
    first = meter.hold("m", ["x" * 920], 100)
    with pytest.raises(BudgetExceeded) as refused:
        meter.hold("m", ["x" * 920], 100)
    assert refused.value.waiting_helps
    with pytest.raises(BudgetExceeded) as never:
        meter.hold("m", ["x" * 920], 1000)
    assert not never.value.waiting_helps
    meter.settle(first.charge(100, 1, 0))
    meter.hold("m", ["x" * 920], 100)


def test_the_cap_can_be_used_up_exactly() -> None:
    meter = Meter(Budget(dollars="0.002"), CARD)
    hold = meter.hold("m", ["x" * 920], 100)
    meter.settle(hold.charge(1000, 100, 0))
    assert spent(meter) == Decimal("0.002")
    with pytest.raises(BudgetExceeded):
        meter.hold("m", [], 1)
    assert meter.left()["dollars"] == 0


def test_a_call_whose_cost_is_not_known_costs_its_whole_hold() -> None:
    meter = Meter(Budget(dollars="1"), CARD)
    meter.settle(meter.hold("m", ["x" * 920], 100).charge_in_full())
    summary = meter.summary()
    assert (summary["dollars"], summary["uncertain_dollars"], summary["uncertain_calls"]) == (
        Decimal("0.002"),
        Decimal("0.002"),
        1,
    )


def test_a_hold_is_settled_exactly_once() -> None:
    meter = Meter(Budget(), CARD)
    hold = meter.hold("m", ["x"], 10)
    meter.settle(hold.charge(1, 1, 0))
    for again in (lambda: meter.settle(hold.charge(1, 1, 0)), lambda: meter.settle(hold.charge_in_full())):
        with pytest.raises(AssertionError):
            again()
    assert meter.summary()["input_tokens"] == 1


def test_a_hold_of_another_meter_is_not_settled() -> None:
    one, other = Meter(Budget(), CARD), Meter(Budget(), CARD)
    hold = one.hold("m", ["x"], 10)
    with pytest.raises(AssertionError):
        other.settle(hold.charge(1, 1, 0))


def test_an_unknown_price_is_refused_under_a_cap_in_dollars_and_free_without() -> None:
    with pytest.raises(UnknownPriceError, match="price of 'nonesuch' is not known"):
        Meter(Budget(dollars="5"), CARD).hold("nonesuch", ["x"], 1)
    meter = Meter(Budget(tokens=10_000), CARD)
    meter.settle(meter.hold("nonesuch", ["x"], 1).charge(5, 1, 0))
    assert spent(meter) == 0


def test_calls_are_counted_when_they_start() -> None:
    meter = Meter(Budget(calls=2), CARD)
    meter.hold("m", ["x"], 1)
    meter.settle(meter.hold("m", ["x"], 1).charge_in_full())
    with pytest.raises(BudgetExceeded) as refused:
        meter.hold("m", ["x"], 1)
    assert (refused.value.limit, refused.value.cap, refused.value.spent, refused.value.held) == ("calls", 2, 1, 1)
    assert meter.left()["calls"] == 0


def test_tokens_are_held_too() -> None:
    meter = Meter(Budget(tokens=2000), CARD)
    hold = meter.hold("free", ["x" * 920], 500)
    with pytest.raises(BudgetExceeded) as refused:
        meter.hold("free", ["x" * 920], 500)
    assert (refused.value.limit, refused.value.held, refused.value.waiting_helps) == ("tokens", 1500, True)
    meter.settle(hold.charge(100, 100, 0))
    meter.hold("free", ["x" * 920], 500)
    assert meter.left()["tokens"] == 300


def test_time_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    meter = Meter(Budget(seconds=5), CARD)
    hold = meter.hold("m", ["x"], 1)
    now = 1004.9
    meter.settle(meter.hold("m", ["x"], 1).charge_in_full())
    now = 1005.0
    with pytest.raises(BudgetExceeded) as refused:
        meter.hold("m", ["x"], 1)
    assert refused.value.limit == "seconds"
    assert meter.left()["seconds"] == 0
    meter.settle(hold.charge(1, 1, 0))


@pytest.mark.parametrize("usage", [(10**6, 1, 0), (1, 10**6, 0)])
def test_a_provider_that_reports_more_than_was_allowed_is_booked_and_stops_the_meter(
    usage: tuple[int, int, int],
) -> None:
    meter = Meter(Budget(dollars="100"), CARD)
    booked = meter.settle(meter.hold("m", ["x"], 10).charge(*usage))
    assert (
        spent(meter)
        == Decimal(booked.spent_picodollars).scaleb(-12)
        == Decimal(RATE.cost_picodollars(*usage)).scaleb(-12)
    )
    with pytest.raises(BudgetExceeded, match="takes no more calls"):
        meter.hold("m", ["x"], 1)


@pytest.mark.parametrize("usage", [(-1000, 0, 0), (0, -1000, 0), (100, 10, -50), (-5, -5, -5)])
def test_a_provider_that_reports_less_than_nothing_does_not_give_money_back(usage: tuple[int, int, int]) -> None:
    meter = Meter(Budget(dollars="100", tokens=10**6), CARD)
    meter.settle(meter.hold("m", ["x"], 10).charge(50, 5, 0))
    before = spent(meter)
    meter.settle(meter.hold("m", ["x"], 10).charge(*usage))
    assert spent(meter) >= before
    summary = meter.summary()
    assert summary["input_tokens"] >= 50  # type: ignore[operator]
    assert summary["output_tokens"] >= 5  # type: ignore[operator]
    assert spent(meter) <= before + Decimal(RATE.hold_picodollars(200, 20)).scaleb(-12)


@pytest.mark.parametrize("max_output_tokens", [-1, -(10**9)])
def test_a_negative_output_limit_does_not_make_room(max_output_tokens: int) -> None:
    meter = Meter(Budget(dollars="0.0001"), CARD)
    with pytest.raises((BudgetExceeded, ValueError, AssertionError)):
        meter.hold("m", ["x" * 10_000], max_output_tokens)


def test_the_summary_is_by_model_and_in_all() -> None:
    meter = Meter(Budget(), CARD)
    meter.settle(meter.hold("m", ["x"], 10).charge(100, 10, 50))
    meter.settle(meter.hold("free", ["x"], 10).charge(7, 3, 0))
    summary = meter.summary()
    assert (summary["calls"], summary["input_tokens"], summary["output_tokens"], summary["cached_input_tokens"]) == (
        2,
        107,
        13,
        50,
    )
    models = summary["models"]
    assert isinstance(models, dict)
    assert models["free"]["input_tokens"] == 7
    assert models["m"]["dollars"] == summary["dollars"] == Decimal("0.000155")


def test_without_limits_nothing_is_refused_and_nothing_is_left_to_say() -> None:
    meter = Meter(Budget(), CARD)
    for _ in range(100):
        meter.hold("dear", ["x" * 100_000], 100_000)
    assert meter.left() == {"dollars": None, "tokens": None, "calls": None, "seconds": None}


class Accounts(RuleBasedStateMachine):
    """Any order of holds, settlements and forfeits by honest providers keeps every cap at every moment."""

    holds = Bundle("holds")

    @initialize(
        dollars=st.none() | st.integers(0, 100_000).map(lambda n: Decimal(n).scaleb(-6)),
        tokens=st.none() | st.integers(0, 100_000),
        calls=st.none() | st.integers(0, 12),
    )
    def begin(self, dollars: Decimal | None, tokens: int | None, calls: int | None) -> None:
        self.budget = Budget(dollars=dollars, tokens=tokens, calls=calls)
        self.meter = Meter(self.budget, CARD)
        self.open: dict[str, Hold] = {}
        self.expected_picodollars = 0
        self.expected_calls = 0
        self.refusals: list[tuple[str, bool, int]] = []

    @rule(
        target=holds,
        model=st.sampled_from(["m", "free", "dear"]),
        characters=st.integers(0, 5000),
        output=st.integers(1, 5000),
    )
    def hold(self, model: str, characters: int, output: int) -> Hold | None:
        try:
            hold = self.meter.hold(model, ["x" * characters], output)
        except BudgetExceeded as refused:
            self.refusals.append((refused.limit, refused.waiting_helps, len(self.open)))
            return None
        self.open[hold.id] = hold
        self.expected_calls += 1
        return hold

    @rule(hold=consumes(holds), data=st.data())
    def settle(self, hold: Hold | None, data: st.DataObject) -> None:
        if hold is None:
            return
        used, written = data.draw(st.integers(0, hold.input_tokens)), data.draw(st.integers(0, hold.output_tokens))
        booked = self.meter.settle(hold.charge(used, written, data.draw(st.integers(0, used))))
        self.expected_picodollars += booked.spent_picodollars
        del self.open[hold.id]

    @rule(hold=consumes(holds))
    def forfeit(self, hold: Hold | None) -> None:
        if hold is None:
            return
        self.expected_picodollars += self.meter.settle(hold.charge_in_full()).spent_picodollars
        del self.open[hold.id]

    @invariant()
    def caps_hold(self) -> None:
        if not hasattr(self, "meter"):
            return
        for limit, waiting_helps, open_then in self.refusals:
            assert limit in ("dollars", "tokens", "calls")
            assert open_then or not waiting_helps
        summary = self.meter.summary()
        dollars_spent, dollars_held = summary["dollars"], summary["held_dollars"]
        assert isinstance(dollars_spent, Decimal)
        assert isinstance(dollars_held, Decimal)
        assert picodollars(dollars_spent) == self.expected_picodollars
        assert picodollars(dollars_held) == sum(hold.picodollars for hold in self.open.values())
        if self.budget.dollars is not None:
            assert dollars_spent + dollars_held <= Decimal(self.budget.dollars)
        tokens_spent = summary["input_tokens"] + summary["output_tokens"]  # type: ignore[operator]
        tokens_held = sum(hold.input_tokens + hold.output_tokens for hold in self.open.values())
        if self.budget.tokens is not None:
            assert tokens_spent + tokens_held <= self.budget.tokens
            assert self.meter.left()["tokens"] == self.budget.tokens - tokens_spent - tokens_held
        assert summary["calls"] == self.expected_calls
        assert self.budget.calls is None or self.expected_calls <= self.budget.calls


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=60, stateful_step_count=30)


def test_threads_that_race_for_the_last_cent_never_overspend() -> None:
    meter = Meter(Budget(dollars="0.05", calls=1000), CARD)
    over: list[object] = []
    granted: list[str] = []

    def race() -> None:
        for _ in range(200):
            try:
                hold = meter.hold("m", ["x" * 920], 100)
            except BudgetExceeded:
                continue
            granted.append(hold.id)
            summary = meter.summary()
            if summary["dollars"] + summary["held_dollars"] > Decimal("0.05"):  # type: ignore[operator]
                over.append(summary)
            meter.settle(hold.charge(1000, len(granted) % 100, 0))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert over == []
    assert len(set(granted)) == len(granted)
    assert spent(meter) <= Decimal("0.05")
    assert meter.summary()["held_dollars"] == 0


def test_a_call_too_big_for_the_money_left_has_its_output_limit_lowered_never_its_hold_alone() -> None:
    meter = Meter(Budget(dollars="0.002"), CARD)
    hold = meter.hold("m", ["x" * 920], 10_000, least_output_tokens=50)
    assert hold.output_tokens == 100
    assert hold.picodollars == RATE.hold_picodollars(1000, 100) == 2 * 10**9
    meter.settle(hold.charge(1000, 60, 0))
    with pytest.raises(BudgetExceeded) as refused:
        meter.hold("m", ["x" * 920], 10_000, least_output_tokens=50)
    assert not refused.value.waiting_helps


def test_an_output_limit_is_not_lowered_far_while_calls_in_flight_may_make_room() -> None:
    meter = Meter(Budget(dollars="0.01"), CARD)
    first = meter.hold("m", [""], 900)
    with pytest.raises(BudgetExceeded) as refused:
        meter.hold("m", [""], 10_000, least_output_tokens=10)
    assert refused.value.waiting_helps
    meter.settle(first.charge(80, 100, 0))
    assert meter.hold("m", [""], 10_000, least_output_tokens=10).output_tokens == 884


def test_a_charge_is_worked_out_once_and_booked_as_it_is() -> None:
    meter = Meter(Budget(dollars="1"), CARD)
    hold = meter.hold("m", ["x" * 920], 100)
    charge = hold.charge(500, 10)
    assert meter.settle(charge) is charge.booked
    nothing = meter.hold("m", ["x"], 10).charge_nothing()
    assert meter.settle(nothing) is nothing.booked
    account = meter.ledger.account(meter._account_id)
    assert account is not None
    assert account.spent == charge.amounts
    assert meter.summary()["calls"] == 1
