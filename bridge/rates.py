"""The rate card: what a token costs. Money is bounded only where the price is known, so an unknown model is refused.

The built-in card is small, pinned and dated; an application gives its own rates for everything else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from divebell.bridge.budget import MAX_PICODOLLARS, picodollars
from divebell.bridge.errors import ConfigurationError

CARD_DATE = "2026-11-23"


@dataclass(frozen=True)
class Rate:
    """Pico-dollars per token. `cached_input` is what the provider asks for input from its prefix cache."""

    input_picodollars: int
    output_picodollars: int
    cached_input_picodollars: int | None = None

    def __post_init__(self) -> None:
        for amount in (self.input_picodollars, self.output_picodollars, self.cached_input_picodollars or 0):
            if type(amount) is not int or not 0 <= amount <= MAX_PICODOLLARS:
                raise ConfigurationError(f"a rate is a whole number of pico-dollars, 0 or more, not {amount!r}")

    @classmethod
    def per_million(
        cls, input: "str | Decimal", output: "str | Decimal", cached_input: "str | Decimal | None" = None
    ) -> "Rate":
        """A rate as providers print it: dollars per million tokens, for example `Rate.per_million("0.25", "2.00")`."""

        def each(amount: "str | Decimal", what: str) -> int:
            whole, rest = divmod(picodollars(amount, what), 1_000_000)
            if rest:
                raise ConfigurationError(f"{what} has more than 6 decimal places per million tokens: {amount!r}")
            return whole

        return cls(
            each(input, "the input rate"),
            each(output, "the output rate"),
            None if cached_input is None else each(cached_input, "the cached input rate"),
        )

    def hold_picodollars(self, input_tokens: int, output_tokens: int) -> int:
        """The most that a call of at most so many tokens can cost."""
        return input_tokens * self.dearest_input_picodollars + output_tokens * self.output_picodollars

    def cost_picodollars(self, input_tokens: int, output_tokens: int, cached_input_tokens: int) -> int:
        """What a call of exactly so many tokens costs; `cached_input_tokens` are among `input_tokens`."""
        cached_rate = self.input_picodollars if self.cached_input_picodollars is None else self.cached_input_picodollars
        fresh = max(input_tokens - cached_input_tokens, 0)
        cached = min(cached_input_tokens, input_tokens)
        return fresh * self.input_picodollars + cached * cached_rate + output_tokens * self.output_picodollars

    @property
    def dearest_input_picodollars(self) -> int:
        return max(self.input_picodollars, self.cached_input_picodollars or 0)


FREE = Rate(0, 0)

# Dollars per million tokens as published by the provider: input, output, cached input.
_BUILT_IN: dict[str, Rate] = {
    "gpt-5": Rate.per_million("1.25", "10.00", "0.125"),
    "gpt-5-mini": Rate.per_million("0.25", "2.00", "0.025"),
    "gpt-5-nano": Rate.per_million("0.05", "0.40", "0.005"),
    "gpt-4.1": Rate.per_million("2.00", "8.00", "0.50"),
    "gpt-4.1-mini": Rate.per_million("0.40", "1.60", "0.10"),
    "gpt-4.1-nano": Rate.per_million("0.10", "0.40", "0.025"),
    "gpt-4o": Rate.per_million("2.50", "10.00", "1.25"),
    "gpt-4o-mini": Rate.per_million("0.15", "0.60", "0.075"),
}


class RateCard:
    """Rates by model name: the built-in ones, overridden and completed by the application's own."""

    def __init__(self, own: Mapping[str, Rate] | None = None) -> None:
        self._rates = {**_BUILT_IN, **(own or {})}

    def rate(self, model: str) -> Rate | None:
        """The model's rate; None where it is not known. Exact names only: a near miss could cost ten times as much."""
        return self._rates.get(model)
