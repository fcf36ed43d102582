"""Rates: what a token costs, exactly; and no guess for a model that is not on the card."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divebell.bridge.errors import ConfigurationError
from divebell.bridge.rates import FREE, Rate, RateCard

tokens = st.integers(0, 10**9)
prices = st.integers(0, 10**9)


def test_a_rate_per_million_is_exact() -> None:
    assert Rate.per_million("0.25", "2.00") == Rate(250_000, 2_000_000)
    assert Rate.per_million("1.25", "10.00", "0.125") == Rate(1_250_000, 10_000_000, 125_000)
    assert Rate.per_million(Decimal("0.000001"), "0") == Rate(1, 0)


@pytest.mark.parametrize(
    "amounts",
    [
        ("0.0000001", "1"),
        ("1", "0.0000005"),
        ("1", "1", "0.0000001"),
        (0.25, "1"),
        ("x", "1"),
        ("-1", "1"),
        ("1", None),
    ],
)
def test_a_rate_that_is_no_exact_amount_is_refused(amounts: tuple[object, ...]) -> None:
    with pytest.raises(ConfigurationError):
        Rate.per_million(*amounts)  # type: ignore[arg-type]


def test_the_error_says_which_rate() -> None:
    with pytest.raises(ConfigurationError, match="the cached input rate"):
        Rate.per_million("1", "1", "abc")


def test_a_call_costs_its_tokens() -> None:
    rate = Rate.per_million("1.00", "10.00", "0.10")
    assert rate.cost_picodollars(1000, 100, 0) == 2 * 10**9
    assert rate.cost_picodollars(1000, 100, 1000) == 10**8 + 10**9
    assert rate.cost_picodollars(1000, 100, 400) == 6 * 10**8 + 4 * 10**7 + 10**9
    assert rate.cost_picodollars(0, 0, 0) == 0


def test_without_a_cached_rate_cached_tokens_cost_the_full_price() -> None:
    assert Rate(10, 20).cost_picodollars(100, 0, 60) == 1000


def test_a_cached_rate_of_nothing_is_a_rate() -> None:
    assert Rate(10, 20, 0).cost_picodollars(100, 0, 60) == 400


def test_more_cached_tokens_than_input_tokens_cost_the_input_tokens() -> None:
    assert Rate(10, 20, 1).cost_picodollars(100, 0, 500) == 100


@given(prices, prices, st.none() | prices, tokens, tokens, tokens, tokens, tokens)
def test_no_call_within_its_limits_costs_more_than_its_hold(
    input_price: int,
    output_price: int,
    cached_price: int | None,
    max_input: int,
    max_output: int,
    used: int,
    written: int,
    cached: int,
) -> None:
    rate = Rate(input_price, output_price, cached_price)
    cost = rate.cost_picodollars(min(used, max_input), min(written, max_output), cached)
    assert 0 <= cost <= rate.hold_picodollars(max_input, max_output)


def test_an_unknown_model_has_no_rate_and_a_near_miss_neither() -> None:
    card = RateCard()
    assert card.rate("gpt-5-mini") is not None
    for name in ("gpt-5-mini ", "GPT-5-mini", "gpt-5-mini-2025-08-07", "openai/gpt-5-mini", "gpt-5-min", "", "gpt"):
        assert card.rate(name) is None


def test_the_applications_own_rates_come_first() -> None:
    card = RateCard({"gpt-5": Rate(1, 2), "mine": Rate(3, 4)})
    assert (card.rate("gpt-5"), card.rate("mine")) == (Rate(1, 2), Rate(3, 4))
    assert card.rate("gpt-5-mini") == RateCard().rate("gpt-5-mini")
    assert RateCard().rate("gpt-5") != Rate(1, 2)


def test_free_is_free() -> None:
    assert FREE.hold_picodollars(10**9, 10**9) == 0


@pytest.mark.parametrize("prices", [(-1, 0), (0, -1), (0, 0, -1), (1.5, 0), ("1", 0)])
def test_a_rate_that_pays_the_caller_or_is_no_number_is_refused(prices: tuple[object, ...]) -> None:
    with pytest.raises(ConfigurationError):
        Rate(*prices)  # type: ignore[arg-type]
