"""Writes the pinned rate card (divebell_bridge/money/rate_card.json) from the prices in genai-prices. No network.

    python scripts/rate_card.py [--date YYYY-MM-DD]   write the card for that day, by default today
    python scripts/rate_card.py --check               exit 1 if the committed card is not what this would write

To move to newer prices: raise genai-prices in pyproject.toml, run this, read the diff (one line per model), run the
tests.

Whose names. A name on the card is what is sent as `model`, and it has one price. So:
- Makers sell their own models: their names are theirs where genai-prices itself takes a bare name for that maker's
  (`model_match`). Resellers' prices for the same names do not count: the card is for the maker's own endpoint.
- Hosts sell others' models: a name of theirs is on the card only if no provider in the data has another price for it.
- Two makers, or a maker and a host of this list, with different prices for one name: it is left out.
- Routers (OpenRouter, Hugging Face), clouds (AWS, Azure, Databricks) and seats (Copilot, Cursor) are not on the card:
  what is paid there depends on route, region, deployment or plan.

Which names. Those that genai-prices matches by equality, and finds that very model for; and the snapshots of SNAPSHOTS.
No name that moves ("latest"), because it may come to mean a dearer model; none in a gateway's spelling.

Which prices. Those of a plain request for text at the standard service tier: input, output, cached input, cache write
(the default duration), and their long-prompt tiers. Searches, sound in, batches and other tiers, which Divebell never
asks for, are passed over; a model that makes something else than text, or does more than it is asked, is left out. Of
prices that depend on the time of day, or begin after the card's date, the dearest is taken. A price of 0, one that is
missing, and one that is not a whole number of pico-dollars per token leave the model out: fail closed.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

from genai_prices.data import providers as ALL_PROVIDERS
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ConditionalPrice,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

CARD = Path(__file__).resolve().parent.parent / "bridge" / "divebell_bridge" / "money" / "rate_card.json"

MAKERS = ("anthropic", "cohere", "deepseek", "google", "meta", "minimax", "mistral", "moonshotai", "openai", "x-ai")
HOSTS = ("cerebras", "groq", "zai")  # zai makes GLM, and zhipuai sells it under the same names in another currency

SNAPSHOTS = {
    "anthropic": (
        "claude-3-haiku-20240307",
        "claude-3-5-haiku-20241022",
        "claude-3-7-sonnet-20250219",
        "claude-haiku-4-5-20251001",
        "claude-opus-4-1-20250805",
        "claude-opus-4-5-20251101",
        "claude-sonnet-4-20250514",
        "claude-sonnet-4-5-20250929",
    ),
    "openai": ("gpt-5-nano-2025-08-07",),
}
"""Names that the makers have published and that genai-prices matches by their beginning."""

PRICES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
}
NEVER_ASKED_FOR = {
    "cache_write_1h_mtok",
    "web_searches_kcount",
    "storage_searches_kcount",
    "input_audio_mtok",
    "cache_audio_read_mtok",
}

MOVES = re.compile(r"latest")
GATEWAY_SPELLING = re.compile(r"[/:@]|-$")
OPEN_WEIGHTS = re.compile(r"instruct|gpt-oss")
NOT_CHAT = re.compile(
    r"audio|computer-use|deep-research|embed|guard|image|-live|moderation|multi-agent|ocr|realtime|search-preview"
    r"|streaming|transcribe|tts|turbo-instruct|voice|voxtral|whisper|^(ada|babbage|curie|davinci|text-|ft:)"
)
"""Other endpoints than chat, other things than text, models that search unasked, and agents with many outputs."""

TOKENS_PER_BYTE = {"anthropic": 11, "cohere": 3, "meta": 11, "minimax": 11, "x-ai": 11}
"""Tokenizers that normalise to NFC (3) or, like the last one that Anthropic published (its countTokens), NFKC (11); and
11 where none is published or looked at. The others' take bytes, or fall back to them, and normalise nothing."""
QWEN_TOKENS_PER_BYTE = 3  # NFC


Seller = tuple[Provider, ModelInfo]


class LeftOut(Exception):
    """The model is not put on the card; the message is why."""


def equal_names(match: MatchLogic) -> Iterator[str]:
    """The names that are matched by equality."""
    if isinstance(match, ClauseEquals):
        yield match.equals
    elif isinstance(match, ClauseOr):
        for clause in match.or_:
            yield from equal_names(clause)


def names_of(provider: Provider, model: ModelInfo) -> Iterator[str]:
    """The exact names for which this provider's data has this very model."""
    snapshots = [name for name in SNAPSHOTS.get(provider.id, ()) if model.is_match(name)]
    for name in sorted({model.id, *equal_names(model.match), *snapshots}):
        if provider.find_model(name) is model:
            yield name


def possible_prices(model: ModelInfo, day: date) -> list[ModelPrice]:
    """Every price that may apply at some moment of that day or later."""
    conditional = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
    days, moments = {day}, {time(0)}
    for constraint in (price.constraint for price in conditional):
        if isinstance(constraint, StartDateConstraint):
            days |= {constraint.start_date} if constraint.start_date > day else set()
        elif isinstance(constraint, TimeOfDateConstraint):
            moments |= {_utc(constraint.start_time), _utc(constraint.end_time)}
        elif constraint is not None:
            raise LeftOut(f"a price depends on {type(constraint).__name__}")
    distinct_prices: list[ModelPrice] = []
    for moment in (datetime.combine(each, clock, UTC) for each in sorted(days) for clock in sorted(moments)):
        price = model.get_prices(moment)
        if price not in distinct_prices:
            distinct_prices.append(price)
    return distinct_prices


def _utc(clock: time) -> time:
    offset = clock.utcoffset() or timedelta(0)
    return (datetime.combine(date(2000, 1, 2), clock.replace(tzinfo=None)) - offset).time()


def _price_at(price: Decimal | TieredPrices | None, over_input_tokens: int) -> Decimal | None:
    """The price of a call with one token of input more than that."""
    if not isinstance(price, TieredPrices):
        return price
    tiers_reached = [tier.price for tier in price.tiers if over_input_tokens >= tier.start]
    return tiers_reached[-1] if tiers_reached else price.base


def _format_price(price: Decimal) -> str:
    if price * 1_000_000 % 1:
        raise LeftOut("a price is not a whole number of pico-dollars per token")
    return format(price.normalize(), "f")


def _dearest_prices(prices: list[ModelPrice], over_input_tokens: int) -> dict[str, str]:
    """The dearest of each price there, in dollars per million tokens. A price that is absent is that of other input."""
    dearest: dict[str, str] = {}
    for name, key in PRICES.items():
        amounts = [_price_at(getattr(price, key), over_input_tokens) for price in prices]
        if any(amount is not None for amount in amounts):
            others = [_price_at(price.input_mtok, over_input_tokens) for price in prices]
            all_amounts = [other if amount is None else amount for amount, other in zip(amounts, others, strict=True)]
            if any(amount is None for amount in all_amounts):
                raise LeftOut(f"no price for {name}")
            dearest[name] = _format_price(max(amount for amount in all_amounts if amount is not None))
    for name in ("input", "output"):
        if name not in dearest or dearest[name] == "0":
            raise LeftOut("no price for input or output, or a price of 0")
    return dearest


def text_prices(model: ModelInfo, day: date) -> dict[str, object]:
    """What a plain request for text costs, as the card states it. LeftOut where the card cannot state it exactly."""
    prices = possible_prices(model, day)
    tiered = [price for each in prices for price in (getattr(each, key) for key in PRICES.values())]
    starts = {tier.start for price in tiered if isinstance(price, TieredPrices) for tier in price.tiers}
    tiers = [{"over_input_tokens": start, **_dearest_prices(prices, start)} for start in sorted(starts)]
    return {**_dearest_prices(prices, -1), **({"long_prompts": tiers} if tiers else {})}


def _make_entry(provider: Provider, model: ModelInfo, name: str, day: date) -> dict[str, object]:
    _check_name(provider, name)
    for price in possible_prices(model, day):
        stated = {key for key, value in vars(price).items() if value is not None}
        if other := stated - NEVER_ASKED_FOR - set(PRICES.values()):
            raise LeftOut(f"has other prices: {', '.join(sorted(other))}")
    entry = {"provider": provider.id, **text_prices(model, day)}
    factor = QWEN_TOKENS_PER_BYTE if "qwen" in name.lower() else TOKENS_PER_BYTE.get(provider.id, 1)
    return entry if factor == 1 else {**entry, "max_tokens_per_byte": factor}


def _check_name(provider: Provider, name: str) -> None:
    if MOVES.search(name):
        raise LeftOut("a name that moves to other models")
    if NOT_CHAT.search(name.lower()):
        raise LeftOut("not a model that answers a chat in text and does no more")
    if provider.id in HOSTS:
        return
    if GATEWAY_SPELLING.search(name):
        raise LeftOut("a gateway's spelling")
    if OPEN_WEIGHTS.search(name):
        raise LeftOut("open weights, which anybody may serve under that name")
    if provider.model_match is None or not provider.model_match.is_match(name):
        raise LeftOut("not a name of this maker's")


def _check_rivals(provider: Provider, model: ModelInfo, name: str, sellers: list[Seller], day: date) -> None:
    prices = text_prices(model, day)
    for rival, other in sellers:
        if rival is provider or (provider.id in MAKERS and rival.id not in MAKERS + HOSTS):
            continue
        try:
            if rival.id in MAKERS:
                _check_name(rival, name)
        except LeftOut:
            continue
        try:
            same = text_prices(other, day) == prices
        except LeftOut:
            same = False
        if not same:
            raise LeftOut("another provider has another price for the name")


def models_on(day: date) -> tuple[dict[str, dict[str, object]], dict[str, list[str]]]:
    """The models of the card by name, and the names left out by reason."""
    sellers_of: dict[str, list[Seller]] = defaultdict(list)
    for provider in ALL_PROVIDERS:
        for model in provider.models:
            for name in names_of(provider, model):
                sellers_of[name].append((provider, model))
    models: dict[str, dict[str, object]] = {}
    left_out: dict[str, list[str]] = defaultdict(list)
    for name, sellers in sorted(sellers_of.items()):
        for provider, model in sellers:
            if provider.id not in MAKERS + HOSTS:
                continue
            try:
                entry = _make_entry(provider, model, name, day)
                _check_rivals(provider, model, name, sellers, day)
                models[name] = entry
            except LeftOut as why:
                left_out[str(why)].append(f"{provider.id}: {name}")
    return models, left_out


def render_card(day: date) -> tuple[str, dict[str, list[str]]]:
    """The card as text, one line per model, and the names that are left out, by reason."""
    models, left_out = models_on(day)
    head = {"card_date": day.isoformat(), "source": f"genai-prices {version('genai-prices')}"}
    lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in models.items()]
    top = "\n".join(f"{json.dumps(key)}: {json.dumps(value)}," for key, value in head.items())
    return "{\n" + top + '\n"models": {\n' + ",\n".join(lines) + "\n}\n}\n", left_out


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the pinned rate card.")
    parser.add_argument("--date", type=date.fromisoformat, help="the day whose prices are taken; by default today")
    parser.add_argument("--check", action="store_true", help="compare with the committed card and write nothing")
    options = parser.parse_args(arguments)
    if options.check:
        committed = CARD.read_text("utf-8")
        text, _ = render_card(options.date or date.fromisoformat(json.loads(committed)["card_date"]))
        if text == committed:
            return 0
        print(f"{CARD.name} is not what genai-prices {version('genai-prices')} gives: run {Path(__file__).name}")
        return 1
    text, left_out = render_card(options.date or datetime.now(UTC).date())
    CARD.write_text(text, "utf-8", newline="\n")
    for reason, names in sorted(left_out.items()):
        print(f"left out, {reason} ({len(names)}):\n  {', '.join(sorted(names))}")
    print(f"wrote {CARD.name}: {len(json.loads(text)['models'])} models")
    return 0


if __name__ == "__main__":
    sys.exit(main())
