"""The rate card that comes with Divebell: `rate_card.json`, dated, written by scripts/rate_card.py and by nothing else.

It is read when it is first needed, and each rate is made when it is first asked for: importing costs nothing.
"""

import json
from functools import cache
from importlib import resources
from typing import TypedDict

from divebell_bridge.money.token_prices import LongPrompt, Rate

CARD_FILE = "rate_card.json"


class _Prices(TypedDict, total=False):
    """Dollars per million tokens, as exact decimal strings."""

    input: str
    output: str
    cached_input: str
    cache_write: str


class _Tier(_Prices):
    over_input_tokens: int


class _Entry(_Prices, total=False):
    provider: str
    long_prompts: list[_Tier]
    max_tokens_per_byte: int


class _Card(TypedDict):
    card_date: str
    source: str
    models: dict[str, _Entry]


@cache
def _card() -> _Card:
    card: _Card = json.loads((resources.files("divebell_bridge.money") / CARD_FILE).read_text("utf-8"))
    return card


def card_date() -> str:
    """The day, as YYYY-MM-DD, for which the prices were taken."""
    return _card()["card_date"]


def card_source() -> str:
    """What the prices were taken from: a package and its version."""
    return _card()["source"]


def names() -> list[str]:
    """The models on the card, sorted."""
    return list(_card()["models"])


def provider(model: str) -> str | None:
    """Whose price it is, as genai-prices calls them; None for a model that is not on the card."""
    entry = _card()["models"].get(model)
    return None if entry is None else entry["provider"]


@cache
def _make_rate(model: str) -> Rate:
    entry = _card()["models"][model]
    tiers = tuple(LongPrompt(tier["over_input_tokens"], _prices(tier)) for tier in entry.get("long_prompts", ()))
    return _prices(entry, tiers, entry.get("max_tokens_per_byte", 1))


def _prices(entry: _Prices, tiers: tuple[LongPrompt, ...] = (), max_tokens_per_byte: int = 1) -> Rate:
    return Rate.per_million(
        entry["input"],
        entry["output"],
        entry.get("cached_input"),
        cache_write=entry.get("cache_write"),
        long_prompts=tiers,
        max_tokens_per_byte=max_tokens_per_byte,
    )


def rate(model: str) -> Rate | None:
    """The model's rate, None if it is not on the card under exactly this name."""
    return _make_rate(model) if model in _card()["models"] else None
