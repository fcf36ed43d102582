"""Rates: what a token costs, exactly; and no guess for a model that is not on the card."""

import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divebell_bridge.money.dollars import quote
from divebell_bridge.money.errors import ConfigurationError
from divebell_bridge.money.rates import FREE, LongPrompt, Rate, RateCard

tokens = st.integers(0, 10**9)
prices = st.integers(0, 10**9)
rates = st.builds(Rate, prices, prices, st.none() | prices, st.none() | prices)
tiered_rates = st.builds(
    lambda base, tiers: replace(base, long_prompts=tuple(LongPrompt(over, tiers[over]) for over in sorted(tiers))),
    rates,
    st.dictionaries(st.integers(0, 2 * 10**9), rates, max_size=3),
)


def test_a_rate_per_million_is_exact() -> None:
    assert Rate.per_million("0.25", "2.00") == Rate(250_000, 2_000_000)
    assert Rate.per_million("1.25", "10.00", "0.125") == Rate(1_250_000, 10_000_000, 125_000)
    assert Rate.per_million(Decimal("0.000001"), "0") == Rate(1, 0)
    assert Rate.per_million("0e999999999", "0E-999999999") == Rate(0, 0)


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
        ("1e999999999", "1"),
        ("1", "1e-999999999"),
        ("1", 10**5000),
        ("NaN", "1"),
        ("1", Decimal("Infinity")),
        (1e-30, "1"),
        ("1_000", "1"),
        ("\u0663", "1"),
        (True, "1"),
    ],
    ids=lambda amounts: quote(amounts[0]) + quote(amounts[1]),
)
def test_a_rate_that_is_no_exact_amount_is_refused(amounts: tuple[object, ...]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Rate.per_million(*amounts)  # type: ignore[arg-type]
    assert len(str(refused.value)) < 200


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


def test_tokens_written_to_the_cache_cost_their_own_price() -> None:
    rate = Rate.per_million("4", "20", "0.40", cache_write="5")
    assert rate.cost_picodollars(1000, 0, 200, 300) == 500 * 4_000_000 + 200 * 400_000 + 300 * 5_000_000
    assert rate.hold_picodollars(1000, 10) == 1000 * 5_000_000 + 10 * 20_000_000
    assert Rate(10, 20).cost_picodollars(100, 0, 0, 60) == 1000


@pytest.mark.parametrize(("cached", "written"), [(101, 0), (0, 101), (60, 60), (10**12, 10**12)])
def test_a_provider_that_reports_more_cached_than_sent_is_not_cheaper_for_it(cached: int, written: int) -> None:
    assert Rate(10, 20, 1, 12).cost_picodollars(100, 0, cached, written) == 1200


@pytest.mark.parametrize("counts", [(-1, 0), (0, -1), (5, 0, -1), (5, 0, 0, -1)])
def test_a_call_of_fewer_than_no_tokens_has_no_cost(counts: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError):
        Rate(10, 20, 1, 12).cost_picodollars(*counts)


def test_a_long_prompt_is_charged_wholly_at_its_rate() -> None:
    rate = Rate(3, 15, 1, long_prompts=(LongPrompt(200, Rate(6, 22, 2)), LongPrompt(500, Rate(1, 1))))
    assert rate.cost_picodollars(200, 10, 50) == 150 * 3 + 50 + 10 * 15
    assert rate.cost_picodollars(201, 10, 50) == 151 * 6 + 50 * 2 + 10 * 22
    assert rate.cost_picodollars(501, 10, 50) == 501 + 10


def test_a_hold_covers_a_call_on_either_side_of_a_threshold() -> None:
    dearer = Rate(3, 15, long_prompts=(LongPrompt(200, Rate(6, 22)),))
    assert dearer.hold_picodollars(200, 10) == 200 * 3 + 150
    assert dearer.hold_picodollars(201, 10) == 201 * 6 + 220
    cheaper = Rate(3, 15, long_prompts=(LongPrompt(200, Rate(1, 1)),))
    assert cheaper.hold_picodollars(201, 10) == cheaper.hold_picodollars(200, 10) == 200 * 3 + 150
    assert cheaper.hold_picodollars(1000, 10) == 1010


@given(tiered_rates, tokens, tokens, tokens, tokens, tokens, tokens)
def test_no_call_within_its_limits_costs_more_than_its_hold(
    rate: Rate, max_input: int, max_output: int, sent: int, written: int, cached: int, cache_written: int
) -> None:
    cost = rate.cost_picodollars(min(sent, max_input), min(written, max_output), cached, cache_written)
    assert 0 <= cost <= rate.hold_picodollars(max_input, max_output)


@given(tiered_rates, tokens, tokens, tokens, tokens)
def test_a_hold_never_falls_as_a_call_grows(rate: Rate, inputs: int, outputs: int, more: int, longer: int) -> None:
    assert rate.hold_picodollars(inputs, outputs) <= rate.hold_picodollars(inputs + more, outputs + longer)


@given(tiered_rates, tokens, tokens)
def test_some_call_costs_exactly_what_is_held(rate: Rate, max_input: int, max_output: int) -> None:
    thresholds = [each.over_input_tokens for each in rate.long_prompts]
    costs = [
        rate.cost_picodollars(inputs, max_output, *share)
        for inputs in {min(max_input, each) for each in [*thresholds, max_input]}
        for share in ((0, 0), (inputs, 0), (0, inputs))
    ]
    assert rate.hold_picodollars(max_input, max_output) == max(costs)


@given(tiered_rates, st.integers(0, 10**19), tokens)
def test_the_output_that_fits_is_exact(rate: Rate, money: int, inputs: int) -> None:
    most = rate.output_tokens_within(money, inputs)
    if most is None:
        assert rate.hold_picodollars(inputs, 10**15) <= money
    elif most or rate.hold_picodollars(inputs, 0) <= money:
        assert rate.hold_picodollars(inputs, most) <= money < rate.hold_picodollars(inputs, most + 1)
    else:
        assert most == 0


def test_output_that_fits_around_the_edges() -> None:
    rate = Rate(10, 20)
    assert rate.output_tokens_within(1000 + 20 * 7, 100) == 7
    assert rate.output_tokens_within(1000 + 20 * 7 - 1, 100) == 6
    assert rate.output_tokens_within(1000, 100) == 0
    assert rate.output_tokens_within(999, 100) == 0
    assert Rate(10, 0).output_tokens_within(1000, 100) is None
    assert Rate(10, 0).output_tokens_within(999, 100) == 0
    assert FREE.output_tokens_within(0, 10**9) is None


def test_every_byte_may_be_a_token_and_more_of_them_where_the_tokenizer_normalises_first() -> None:
    once, eleven = Rate(1, 1), Rate(1, 1, max_tokens_per_byte=11)
    assert once.most_input_tokens("plain") == eleven.most_input_tokens("plain") == 5
    assert once.most_input_tokens("\ufdfa!") == 4
    assert eleven.most_input_tokens("\ufdfa!") == 3 * 11 + 1
    assert once.most_input_tokens("\ud800") == 3
    assert once.most_input_tokens("") == eleven.most_input_tokens("") == 0


@pytest.mark.slow
@pytest.mark.parametrize(("form", "factor"), [("NFD", 3), ("NFKD", 11)])
def test_the_factors_cover_what_normalising_can_do_to_a_hostile_text(form: Literal["NFD", "NFKD"], factor: int) -> None:
    """NFC and NFKC compose what these have taken apart, a character by itself: they are no longer."""
    rate = Rate(1, 1, max_tokens_per_byte=factor)
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    grown = [(len(unicodedata.normalize(form, each).encode()), rate.most_input_tokens(each)) for each in characters]
    assert all(tokens <= held for tokens, held in grown)
    assert any(tokens == held > 4 for tokens, held in grown)


def test_an_unknown_model_has_no_rate_and_a_near_miss_neither() -> None:
    card = RateCard()
    assert card.rate("gpt-5-mini") is not None
    for name in ("gpt-5-mini ", "GPT-5-mini", "gpt-5-mini-2025-08-08", "openai/gpt-5-mini", "gpt-5-min", "", "gpt"):
        assert card.rate(name) is None


def test_the_applications_own_rates_come_first() -> None:
    card = RateCard({"gpt-5": Rate(1, 2), "mine": Rate(3, 4)})
    assert (card.rate("gpt-5"), card.rate("mine")) == (Rate(1, 2), Rate(3, 4))
    assert card.rate("gpt-5-mini") == RateCard().rate("gpt-5-mini")
    assert RateCard().rate("gpt-5") != Rate(1, 2)


def test_a_tenants_rates_come_before_the_hosts_and_the_hosts_before_the_pinned_ones() -> None:
    pinned = RateCard()
    host = RateCard({"gpt-5": Rate(1, 2), "hosted": Rate(3, 4)})
    tenant = host.with_overrides({"gpt-5": Rate(5, 6), "mine": Rate(7, 8)})
    assert [tenant.rate(name) for name in ("gpt-5", "hosted", "mine")] == [Rate(5, 6), Rate(3, 4), Rate(7, 8)]
    assert tenant.rate("gpt-4o") == pinned.rate("gpt-4o")
    assert (host.rate("gpt-5"), host.rate("mine"), pinned.rate("hosted")) == (Rate(1, 2), None, None)


def test_a_card_is_not_changed_from_outside() -> None:
    own = {"mine": Rate(1, 2)}
    card = RateCard(own)
    own["mine"] = FREE
    assert card.rate("mine") == Rate(1, 2)


def test_names_are_those_of_the_card_and_the_applications_own() -> None:
    names = RateCard({"mine": FREE}).names()
    assert list(names) == sorted(set(names))
    assert {"mine", "gpt-5-mini"} <= set(names)
    assert set(RateCard().names()) == set(names) - {"mine"}


@pytest.mark.parametrize("own", [{"m": ("1", "2")}, {"m": None}, {7: Rate(1, 2)}])
def test_what_is_no_rate_is_refused_in_one_sentence(own: dict[str, Rate]) -> None:
    with pytest.raises(ConfigurationError, match="rates must map names of models to Rates"):
        RateCard(own)


def test_free_is_free() -> None:
    assert FREE.hold_picodollars(10**9, 10**9) == 0


@pytest.mark.parametrize(
    "prices",
    [
        (-1, 0),
        (0, -1),
        (0, 0, -1),
        (0, 0, 0, -1),
        (1.5, 0),
        ("1", 0),
        (1, 1, ""),
        (1, 1, 0, 0.0),
        (True, 1),
        (10**400, 1),
    ],
)
def test_a_rate_that_pays_the_caller_or_is_no_number_is_refused(prices: tuple[object, ...]) -> None:
    with pytest.raises(ConfigurationError):
        Rate(*prices)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rate(1, 1, max_tokens_per_byte=0),
        lambda: Rate(1, 1, max_tokens_per_byte=True),
        lambda: Rate(1, 1, max_tokens_per_byte=10**6),
        lambda: Rate(1, 1, long_prompts=[LongPrompt(1, FREE)]),  # type: ignore[arg-type]
        lambda: Rate(1, 1, long_prompts=((1, FREE),)),  # type: ignore[arg-type]
        lambda: Rate(1, 1, long_prompts=(LongPrompt(2, FREE), LongPrompt(1, FREE))),
        lambda: Rate(1, 1, long_prompts=(LongPrompt(2, FREE), LongPrompt(2, FREE))),
        lambda: Rate(1, 1, long_prompts=tuple(LongPrompt(over, FREE) for over in range(17))),
        lambda: LongPrompt(-1, FREE),
        lambda: LongPrompt(1, "0.25"),  # type: ignore[arg-type]
        lambda: LongPrompt(1, Rate(1, 1, long_prompts=(LongPrompt(1, FREE),))),
        lambda: LongPrompt(1, Rate(1, 1, max_tokens_per_byte=2)),
    ],
)
def test_tiers_and_factors_that_make_no_sense_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make()
