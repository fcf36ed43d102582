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
"""The logger that names models whose price is unknown."""

_ZEROS = Tally().as_dict()
"""What is added up, by name."""

_log = logging.getLogger(PRICES)
_lock = threading.Lock()
_warned: set[str] = set()
"""The names that warn_of_unknown_price has warned of."""


def cost_text(amount: str, unpriced_calls: int) -> str:
    """The cost in words. `amount` is in dollars, as digits; it does not include `unpriced_calls`, whose price is
    unknown."""
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
        "the price of the model %s is unknown, so the cost of its calls is missing from all sums: set it with rates=",
        quote(name),
    )


class Spending:
    """The sum of what runs spent (Result.spend), in total and by model. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = _empty_sum()

    def add(self, spend: dict[str, Any]) -> None:
        """Add the spending of a run."""
        with self._lock:
            _add_to(self._total, spend)

    def summary(self) -> dict[str, Any]:
        """A copy of the sum so far."""
        with self._lock:
            copy = _empty_sum()
            _add_to(copy, self._total)
            return copy

    def reset(self) -> None:
        """Start again from zero."""
        with self._lock:
            self._total = _empty_sum()


def _empty_sum() -> dict[str, Any]:
    return {**_ZEROS, "models": {}}


def _add_to(total: dict[str, Any], spend: dict[str, Any]) -> None:
    _add_counters(total, spend)
    for model, account in spend.get("models", {}).items():
        _add_counters(total["models"].setdefault(model, dict(_ZEROS)), account)


def _add_counters(total: dict[str, Any], spend: dict[str, Any]) -> None:
    for name in _ZEROS:
        total[name] += spend[name]
