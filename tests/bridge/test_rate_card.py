"""The pinned card: what it says is what genai-prices says, and what cannot be said exactly is not on it."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
    Usage,
)

from divebell_bridge.money import pinned_rates
from divebell_bridge.money.rates import LongPrompt, Rate, RateCard
from scripts import rate_card

ROOT = Path(__file__).parent.parent.parent
NAMES = RateCard().names()
CARD_DAY = date.fromisoformat(RateCard().card_date)
DAY = date(2026, 11, 25)  # of the prices that are made up here


def known(name: str) -> Rate:
    rate = RateCard().rate(name)
    assert rate is not None
    return rate


def test_the_committed_card_is_what_the_pinned_genai_prices_gives() -> None:
    assert rate_card.main(["--check"]) == 0
    assert (
        f"genai-prices=={RateCard().card_source.removeprefix('genai-prices ')}" in (ROOT / "pyproject.toml").read_text()
    )


def test_a_card_that_was_edited_by_hand_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = tmp_path / "rate_card.json"
    edited.write_text(rate_card.CARD.read_text("utf-8").replace('"input": "1.25"', '"input": "1.24"', 1), "utf-8")
    monkeypatch.setattr(rate_card, "CARD", edited)
    assert rate_card.main(["--check"]) == 1
    assert "is not what genai-prices" in capsys.readouterr().out


def test_the_card_is_written_as_it_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    committed = rate_card.CARD.read_bytes()
    monkeypatch.setattr(rate_card, "CARD", tmp_path / "rate_card.json")
    assert rate_card.main(["--date", RateCard().card_date]) == 0
    assert rate_card.CARD.read_bytes() == committed
    assert "left out, a name that moves to other models" in capsys.readouterr().out


# Dollars per million tokens as the providers print them, written down by hand.
@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("gpt-5", Rate.per_million("1.25", "10.00", "0.125")),
        ("gpt-5-2025-08-07", Rate.per_million("1.25", "10.00", "0.125")),
        ("gpt-5-mini", Rate.per_million("0.25", "2.00", "0.025")),
        ("gpt-5-nano", Rate.per_million("0.05", "0.40", "0.005")),
        ("gpt-4.1", Rate.per_million("2.00", "8.00", "0.50")),
        ("gpt-4.1-mini", Rate.per_million("0.40", "1.60", "0.10")),
        ("gpt-4.1-nano", Rate.per_million("0.10", "0.40", "0.025")),
        ("gpt-4o", Rate.per_million("2.50", "10.00", "1.25")),
        ("gpt-4o-2024-05-13", Rate.per_million("5.00", "15.00")),
        ("gpt-4o-mini", Rate.per_million("0.15", "0.60", "0.075")),
        ("o3", Rate.per_million("2.00", "8.00", "0.50")),
        ("o4-mini", Rate.per_million("1.10", "4.40", "0.275")),
        (
            "claude-sonnet-4-5-20250929",
            Rate.per_million(
                "3.00",
                "15.00",
                "0.30",
                cache_write="3.75",
                long_prompts=(LongPrompt(200_000, Rate.per_million("6.00", "22.50", "0.60", cache_write="7.50")),),
                max_tokens_per_byte=11,
            ),
        ),
        (
            "claude-opus-4-1",
            Rate.per_million("15.00", "75.00", "1.50", cache_write="18.75", max_tokens_per_byte=11),
        ),
        (
            "gemini-2.5-pro",
            Rate.per_million(
                "1.25",
                "10.00",
                "0.125",
                long_prompts=(LongPrompt(200_000, Rate.per_million("2.50", "15.00", "0.25")),),
            ),
        ),
        ("gemini-2.5-flash", Rate.per_million("0.30", "2.50", "0.03")),
        ("mistral-large-2411", Rate.per_million("2.00", "6.00")),
        ("grok-3", Rate.per_million("3.00", "15.00", "0.75", max_tokens_per_byte=11)),
        ("deepseek-reasoner", Rate.per_million("0.55", "2.19", "0.14")),  # not the half price of the night
        ("command-r-plus-08-2024", Rate.per_million("2.50", "10.00", max_tokens_per_byte=3)),
        ("llama-3.3-70b-versatile", Rate.per_million("0.59", "0.79")),
    ],
)
def test_known_prices(name: str, rate: Rate) -> None:
    assert RateCard().rate(name) == rate


@pytest.mark.parametrize(
    "name",
    [
        "gpt-5-mini-latest", "gpt-5-chat-latest", "grok-latest", "mistral-large-latest",  # they move
        "openai/gpt-5", "x-ai/grok-4.3", "mistral-nemo:free",  # a gateway's prices, or none
        "gpt-oss-120b", "openai/gpt-oss-120b", "qwen/qwen3-32b", "glm-5",  # sold at several prices
        "gpt-4o-search-preview", "o3-deep-research", "sonar", "sonar-pro",  # they search unasked, at a price
        "gpt-4o-audio-preview", "gpt-image-1", "text-embedding-3-small", "whisper-1",
        "gpt-3.5-turbo-instruct", "babbage-002", "omni-moderation-latest",
        "GPT-5", "gpt-5 ", " gpt-5", "gpt-5\n", "gpt", "",
    ],
)  # fmt: skip
def test_what_has_no_certain_price_is_not_on_the_card(name: str) -> None:
    assert RateCard().rate(name) is None


@pytest.mark.slow
@pytest.mark.parametrize("provider_id", sorted({str(pinned_rates.provider(name)) for name in NAMES}))
def test_every_rate_is_dear_enough_for_what_genai_prices_computes_at_any_hour(provider_id: str) -> None:
    provider = next(each for each in providers if each.id == provider_id)
    for name in (each for each in NAMES if pinned_rates.provider(each) == provider_id):
        model = provider.find_model(name)
        assert model is not None
        moments = [datetime.combine(CARD_DAY, time(hour, 30), UTC) for hour in range(24)]
        if not isinstance(model.prices, list):
            moments = moments[:1]
        certain = len(rate_card.possible_prices(model, CARD_DAY)) == 1
        for sent, cached, written in calls_around_the_thresholds(known(name)):
            usage = Usage(input_tokens=sent, output_tokens=777, cache_read_tokens=cached, cache_write_tokens=written)
            ours = known(name).cost_picodollars(sent, 777, cached, written)
            totals = [model.calc_price(usage, provider, genai_request_timestamp=each).total_price for each in moments]
            assert ours >= max(totals) * 10**12, (name, sent, cached, written)
            assert not certain or {Decimal(ours)} == {total * 10**12 for total in totals}, (name, sent, cached, written)


def calls_around_the_thresholds(rate: Rate) -> list[tuple[int, int, int]]:
    thresholds = [tier.over_input_tokens for tier in rate.long_prompts]
    sizes = [1, 12_345, *thresholds, *(each + 1 for each in thresholds), 3_000_000]
    return [
        (size, cached, written)
        for size in sizes
        for cached, written in ((0, 0), (size // 3, size // 4), (size, 0), (0, size))
    ]


def test_no_rate_is_free_and_none_is_absurd() -> None:
    for name in NAMES:
        rate = known(name)
        assert 10_000 <= rate.input_picodollars <= 200_000_000, name
        assert 10_000 <= rate.output_picodollars <= 1_000_000_000, name


def test_the_card_is_sorted_a_line_a_model() -> None:
    lines = rate_card.CARD.read_text("utf-8").splitlines()
    names = [json.loads(f"{{{line.rstrip(',')}}}") for line in lines[4:-2]]
    assert [next(iter(each)) for each in names] == sorted(NAMES) == list(NAMES)


@pytest.mark.slow
def test_the_card_is_not_read_before_a_price_is_asked_for_and_never_from_genai_prices() -> None:
    code = (
        "import sys, divebell; from divebell_bridge.money import pinned_rates as pinned, rates;"
        "card = rates.RateCard({'mine': rates.FREE}); card.rate('mine');"
        "assert pinned._card.cache_info().currsize == 0;"
        "assert card.rate('gpt-5') is not None;"
        "assert pinned._card.cache_info().currsize == 1;"
        "assert 'genai_prices' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def price(input: str | TieredPrices | None = "1", output: str | None = "2", **others: object) -> ModelPrice:
    amounts = {"input_mtok": input, "output_mtok": output, **others}
    return ModelPrice(**{key: Decimal(each) if isinstance(each, str) else each for key, each in amounts.items()})  # type: ignore[arg-type]


def sold(provider_id: str, *models: ModelInfo, prefix: str = "") -> Provider:
    return Provider(provider_id, provider_id, "", model_match=ClauseStartsWith(prefix), models=list(models))


def model(name: str, prices: ModelPrice | list[ConditionalPrice]) -> ModelInfo:
    return ModelInfo(name, ClauseEquals(name), prices=prices)


Card = Callable[..., dict[str, dict[str, object]]]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    def made(*sellers: Provider, day: date = DAY) -> dict[str, dict[str, object]]:
        monkeypatch.setattr(rate_card, "ALL_PROVIDERS", list(sellers))
        return rate_card.models_on(day)[0]

    return made


def test_a_plain_price(card: Card) -> None:
    assert card(sold("openai", model("m", price("1.50", "2", cache_read_mtok="0.15", cache_write_mtok="10")))) == {
        "m": {"provider": "openai", "input": "1.5", "output": "2", "cached_input": "0.15", "cache_write": "10"}
    }


@pytest.mark.parametrize(
    "prices",
    [
        price("0", "0"),
        price("1", "0"),
        price("0", "1"),
        price(None, "1"),
        price("1", None),
        price(None, None),
        ModelPrice(),
        price("0.0000001"),
        price(cache_read_mtok="0.0000015"),
        price(requests_kcount="5"),
        price(output_image_mtok="30"),
        price(output_reasoning_mtok="3"),
        price(a_new_unit_mtok="1"),
        price(TieredPrices(Decimal(1), [Tier(1000, Decimal(0))])),
    ],
)
def test_a_price_that_is_nothing_or_missing_or_not_exact_leaves_the_model_out(card: Card, prices: ModelPrice) -> None:
    assert card(sold("openai", model("m", prices), model("good", price()))).keys() == {"good"}


def test_what_is_never_asked_for_is_passed_over(card: Card) -> None:
    made = card(sold("openai", model("m", price(web_searches_kcount="10", input_audio_mtok="40"))))
    assert made["m"] == {"provider": "openai", "input": "1", "output": "2"}


def test_tiers_are_taken_over_where_only_some_prices_have_them(card: Card) -> None:
    tiered = TieredPrices(Decimal(1), [Tier(1000, Decimal(3)), Tier(200, Decimal(2))])
    made = card(sold("google", model("m", price(tiered, "5", cache_read_mtok="0.5"))))
    assert made["m"]["long_prompts"] == [
        {"over_input_tokens": 200, "input": "2", "output": "5", "cached_input": "0.5"},
        {"over_input_tokens": 1000, "input": "3", "output": "5", "cached_input": "0.5"},
    ]


def test_of_prices_by_the_hour_the_dearest_is_taken(card: Card) -> None:
    night = TimeOfDateConstraint(time(23, 0, tzinfo=UTC), time(1, 0, tzinfo=UTC))
    for first, second in ((price("1", "9"), price("4", "2")), (price("4", "2"), price("1", "9"))):
        made = card(
            sold("deepseek", model("m", [ConditionalPrice(prices=first), ConditionalPrice(night, prices=second)]))
        )
        assert made["m"] == {"provider": "deepseek", "input": "4", "output": "9"}


def test_a_price_that_begins_later_counts_if_it_is_dearer_and_one_that_has_ended_does_not(card: Card) -> None:
    prices = [
        ConditionalPrice(prices=price("50")),
        ConditionalPrice(StartDateConstraint(date(2026, 1, 1)), prices=price("3")),
        ConditionalPrice(StartDateConstraint(date(2027, 1, 1)), prices=price("4")),
        ConditionalPrice(StartDateConstraint(date(2028, 1, 1)), prices=price("1")),
    ]
    seller = sold("mistral", model("m", prices))
    assert card(seller)["m"]["input"] == "4"
    assert card(seller, day=date(2028, 1, 1))["m"]["input"] == "1"
    assert card(seller, day=date(2025, 1, 1))["m"]["input"] == "50"


def test_a_cached_price_that_ends_is_the_price_of_other_input_then(card: Card) -> None:
    prices = [
        ConditionalPrice(prices=price("3", cache_read_mtok="1")),
        ConditionalPrice(StartDateConstraint(date(2027, 1, 1)), prices=price("2")),
    ]
    assert card(sold("openai", model("m", prices)))["m"]["cached_input"] == "2"


def test_a_condition_of_a_new_kind_leaves_the_model_out(card: Card) -> None:
    prices = [ConditionalPrice(prices=price()), ConditionalPrice("on Tuesdays", prices=price("9"))]  # type: ignore[arg-type]
    assert card(sold("openai", model("m", prices))) == {}


@pytest.mark.parametrize(
    ("first", "second"), [("openai", "google"), ("openai", "groq"), ("groq", "cerebras"), ("groq", "novita")]
)
def test_a_name_with_two_prices_is_on_nobodys_card(card: Card, first: str, second: str) -> None:
    shared = [sold(first, model("m", price("1"))), sold(second, model("m", price("2")))]
    assert card(*shared) == card(*reversed(shared)) == {}
    agreed = [sold(first, model("m", price("1"))), sold(second, model("m", price("1", web_searches_kcount="1")))]
    assert card(*agreed)["m"]["input"] == "1"


def test_a_resellers_price_does_not_count_against_the_makers(card: Card) -> None:
    made = card(
        sold("azure", model("m", price("9"))),
        sold("openai", model("m", price("1"))),
        sold("openrouter", model("m", price("0"))),
    )
    assert made == {"m": {"provider": "openai", "input": "1", "output": "2"}}


def test_a_makers_prices_for_anothers_names_do_not_count(card: Card) -> None:
    made = card(
        sold("google", model("claude-x", price("9")), prefix="gemini"),
        sold("anthropic", model("claude-x", price("1")), prefix="claude"),
    )
    assert made["claude-x"]["provider"] == "anthropic"
    assert card(sold("google", model("claude-x", price("9")), prefix="gemini")) == {}


def test_a_reseller_is_not_on_the_card(card: Card) -> None:
    assert card(sold("openrouter", model("m", price())), sold("azure", model("n", price()))) == {}


def test_a_name_that_an_earlier_model_matches_is_not_taken_for_the_later_one(card: Card) -> None:
    greedy = ModelInfo("cheap", ClauseOr([ClauseEquals("cheap"), ClauseStartsWith("dear")]), prices=price("1"))
    assert card(sold("openai", greedy, model("dear-2", price("9")))).keys() == {"cheap"}


def test_names_that_are_matched_by_their_beginning_are_not_on_the_card(card: Card) -> None:
    family = ModelInfo("family", ClauseStartsWith("fam"), prices=price())
    assert card(sold("openai", family)).keys() == {"family"}


@pytest.mark.parametrize("name", ["m-latest", "other/m", "m:free", "m@2", "m-", "m-image", "m-search-preview", "m-tts"])
def test_names_that_move_or_are_something_else(card: Card, name: str) -> None:
    assert card(sold("openai", model(name, price()))) == {}
