"""What costs more than the list price: regions, fees for a request, dearer service tiers, an endpoint's own word; and
models whose price nobody knows."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divebell import Budget, BudgetExceeded, ConfigurationError, LongPrompt, Rate
from divebell.models import OpenAIChatModel
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import RateCard

PLAIN = Rate.per_million("1", "10", "0.1")
WITH_FEE = Rate.per_million("1", "10", request_fee="0.012")
TIERED = Rate.per_million("1", "10", tier_percents={"priority": 200, "flex": 50})


def meter_with(rate: Rate, dollars: str = "1") -> Meter:
    return Meter(Budget(dollars=dollars), RateCard({"m": rate}))


def spent(meter: Meter) -> Decimal:
    found = meter.summary()["dollars"]
    assert isinstance(found, Decimal)
    return found


def test_a_fee_for_a_request_is_held_and_charged() -> None:
    meter = meter_with(WITH_FEE)
    hold = meter.hold("m", ["x"], 100)
    assert hold.picodollars == 12 * 10**9 + PLAIN.hold_picodollars(hold.input_tokens, 100)
    meter.settle(hold.charge(10, 1))
    assert spent(meter) == Decimal("0.01202")


def test_a_call_whose_fee_does_not_fit_is_refused() -> None:
    with pytest.raises(BudgetExceeded):
        meter_with(WITH_FEE, "0.011").hold("m", ["x"], 100, least_output_tokens=1)


def test_a_tier_is_held_at_the_dearest_and_charged_as_the_reply_says() -> None:
    for tier, cost in (("", "0.00002"), ("priority", "0.00004"), ("flex", "0.00001"), ("batch", "0.00002")):
        meter = meter_with(TIERED)
        hold = meter.hold("m", ["x"], 100)
        assert hold.picodollars == 2 * PLAIN.hold_picodollars(hold.input_tokens, 100)
        meter.settle(hold.charge(10, 1, service_tier=tier))
        assert spent(meter) == Decimal(cost), tier


@pytest.mark.parametrize("tier", ["priority", "scale", "unknown", "fast"])
def test_a_tier_that_the_rate_does_not_know_costs_the_hold(tier: str) -> None:
    meter = meter_with(PLAIN)
    hold = meter.hold("m", ["x"], 100)
    booked = meter.settle(hold.charge(10, 1, service_tier=tier))
    assert (booked.spent_picodollars, booked.uncertain_calls) == (hold.picodollars, 1)


def test_what_the_endpoint_says_a_call_cost_counts_where_it_is_more() -> None:
    for reported, cost in ((0, "0.00002"), (5_000_000, "0.00002"), (300_000_000, "0.0003")):
        meter = meter_with(PLAIN)
        meter.settle(meter.hold("m", ["x"], 100).charge(10, 1, reported_picodollars=reported))
        assert spent(meter) == Decimal(cost)


def test_a_cost_beyond_the_hold_is_booked_and_the_run_takes_no_more_calls() -> None:
    meter = meter_with(PLAIN)
    meter.settle(meter.hold("m", ["x"], 100).charge(10, 1, reported_picodollars=5 * 10**11))
    assert spent(meter) == Decimal("0.5")
    assert "by its own word" in str(meter.summary()["frozen"])
    with pytest.raises(BudgetExceeded):
        meter.hold("m", ["x"], 1)


@given(
    picodollars=st.integers(0, 10**12),
    inputs=st.integers(0, 10_000),
    fee=st.sampled_from(["0", "0.01", "0.5"]),
    percent=st.integers(1, 1_000),
)
def test_as_much_output_as_fits_is_held_for_with_fee_and_tiers(
    picodollars: int, inputs: int, fee: str, percent: int
) -> None:
    tiers = (LongPrompt(5_000, Rate.per_million("2", "7")),)
    rate = Rate.per_million("1", "10", request_fee=fee, tier_percents={"t": percent}, long_prompts=tiers)
    most = rate.output_tokens_within(picodollars, inputs)
    assert most is not None
    if most:
        assert rate.hold_picodollars(inputs, most) <= picodollars
    assert rate.hold_picodollars(inputs, most + 1) > picodollars
    for tier in ("", "t", "another"):
        assert rate.cost_picodollars(inputs, 7, service_tier=tier) <= rate.hold_picodollars(inputs, 7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"request_fee": "-1"},
        {"request_fee": "x"},
        {"tier_percents": {"": 100}},
        {"tier_percents": 3},
        {"tier_percents": "priority"},
        {"tier_percents": [("priority", 200)]},
        {"tier_percents": {"t": 0}},
        {"tier_percents": {"t": 1.5}},
        {"tier_percents": {"t": True}},
        {"tier_percents": {f"t{n}": 100 for n in range(100)}},
    ],
)
def test_a_fee_or_a_tier_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Rate.per_million("1", "10", **wrong)  # type: ignore[arg-type]


REGIONS = [
    ("https://us.api.openai.com/v1", 10),
    ("https://eu.api.openai.com/v1", 10),
    ("https://mine.openai.azure.com/openai/v1", 10),
    ("https://europe-west1-aiplatform.googleapis.com/v1", 10),
    ("https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1", 10),
    ("https://api.openai.com/v1", 0),
    ("https://openai.example.org/v1", 0),
    ("https://us.api.openai.com.example.org/v1", 0),
]


@pytest.mark.parametrize(("url", "percent"), REGIONS)
def test_an_endpoint_that_keeps_to_a_region_may_cost_a_tenth_more(url: str, percent: int) -> None:
    assert OpenAIChatModel("gpt-5-mini", base_url=url, api_key="sk-0123456789").surcharge_percent == percent


def test_a_surcharge_is_held_and_charged_on_list_prices_and_not_on_own_ones() -> None:
    listed, own = RateCard(), RateCard({"gpt-5-mini": Rate.per_million("0.25", "2")})
    for card, percent in ((listed, 110), (own, 100)):
        meter = Meter(Budget(dollars="1"), card)
        hold = meter.hold("gpt-5-mini", ["x"], 100, surcharge_percent=10)
        meter.settle(hold.charge(1_000, 1_000))
        assert spent(meter) == Decimal("0.00225") * percent / 100


def test_calls_of_a_model_whose_price_is_not_known_are_counted_as_such() -> None:
    meter = Meter(Budget(calls=10), RateCard({"free": Rate.per_million("0", "0")}))
    for _ in range(2):
        meter.settle(meter.hold("nobody knows it", ["x"], 100).charge(10, 1))
    meter.settle(meter.hold("nobody knows it", ["x"], 100).charge_in_full())
    meter.settle(meter.hold("nobody knows it", ["x"], 100).charge_nothing())
    meter.settle(meter.hold("nobody knows it", ["x"], 100).charge(10, 1, reported_picodollars=10**9))
    meter.settle(meter.hold("free", ["x"], 100).charge(10, 1))
    summary = meter.summary()
    assert summary["unpriced_calls"] == 3
    assert summary["dollars"] == Decimal("0.001")
    assert summary["models"]["free"]["unpriced_calls"] == 0  # type: ignore[index]
