"""The spending of several runs, added up; and warnings about models without a price."""

import logging
import threading
from decimal import Decimal
from typing import Any

from divebell.models.protocol import Model
from divebell.models.scripted import ScriptedModel
from divebell.text import quote
from divebell_bridge.money.rates import RateCard
from divebell_bridge.money.tally import Tally

MAX_WARNED_NAMES = 1_000

PRICES = "divebell.prices"
"""The logger that names models whose price is not known."""

_log = logging.getLogger(PRICES)
_lock = threading.Lock()
_warned: set[str] = set()
"""Names of models, by warn_of_unknown_price."""


def cost_text(amount: str, unpriced_calls: int) -> str:
    """What was spent, for people: an amount of dollars as a text of digits, and how many calls are not in it because
    their price is not known."""
    if not unpriced_calls:
        return f"${amount}"
    if not Decimal(amount):
        return "price unknown"
    return f"${amount} and {unpriced_calls:,} call{'s' if unpriced_calls > 1 else ''} of unknown price"


def warn_of_unknown_price(model: Model, rates: RateCard) -> None:
    """Log a WARNING, once for each name in a process, if a model's price is not known. A ScriptedModel has
    none, and costs nothing."""
    name = model.name
    if isinstance(model, ScriptedModel) or rates.rate(name) is not None:
        return
    with _lock:
        if name in _warned or len(_warned) >= MAX_WARNED_NAMES:
            return
        _warned.add(name)
    _log.warning(
        "the price of the model %s is not known, so its calls are missing from what runs cost: give it with rates=",
        quote(name),
    )


class Spending:
    """A sum of runs' spending (Result.spend), in all and by model. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = _nothing()

    def add(self, spend: dict[str, Any]) -> None:
        """Add the spending of a run."""
        with self._lock:
            _merge(self._total, spend)

    def summary(self) -> dict[str, Any]:
        """The sum so far, a copy."""
        with self._lock:
            copy = _nothing()
            _merge(copy, self._total)
            return copy

    def reset(self) -> None:
        """Start counting anew."""
        with self._lock:
            self._total = _nothing()


def _nothing() -> dict[str, Any]:
    return {**Tally().as_dict(), "models": {}}


def _merge(into: dict[str, Any], spend: dict[str, Any]) -> None:
    _add(into, spend)
    for model, account in spend.get("models", {}).items():
        _add(into["models"].setdefault(model, Tally().as_dict()), account)


def _add(into: dict[str, Any], spend: dict[str, Any]) -> None:
    for name in Tally().as_dict():
        into[name] += spend[name]
