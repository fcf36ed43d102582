"""`RateCard`: rates by model name. Money is bounded only where the price is known, so an unknown model is refused."""

from collections.abc import Mapping

from divebell_bridge.money import pinned_rates
from divebell_bridge.money.dollars import quote
from divebell_bridge.money.errors import ConfigurationError
from divebell_bridge.money.token_prices import FREE, LongPrompt, Rate

__all__ = ["FREE", "LongPrompt", "Rate", "RateCard"]

_RATES_ARE = 'rates must map names of models to Rates, as {"my-model": Rate.per_million("0.25", "2.00")}'


class RateCard:
    """The pinned card that comes with Divebell, overridden and completed by the application's own rates.

    The pinned card has the prices of a model's maker, at the maker's own endpoint and the standard service tier. Behind
    another endpoint the same name may cost more: give its rate then.
    """

    def __init__(self, own: Mapping[str, Rate] | None = None) -> None:
        if own is not None and not isinstance(own, Mapping):
            raise ConfigurationError(f"{_RATES_ARE}, not {type(own).__name__}")
        self._own = dict(own or {})
        for name, rate in self._own.items():
            if not isinstance(name, str) or not isinstance(rate, Rate):
                raise ConfigurationError(f"{_RATES_ARE}; for {quote(name)} it has {quote(rate)}")

    def with_overrides(self, own: Mapping[str, Rate] | None) -> "RateCard":
        """A card on which these rates come first: a tenant's over the host's, and the host's over the pinned ones."""
        return RateCard({**self._own, **RateCard(own)._own})

    def rate(self, model: str, surcharge_percent: int = 0) -> Rate | None:
        """The model's rate; None if it is not known. Exact names only: a near miss could cost ten times as much.

        surcharge_percent: how much more than the maker's list price the endpoint may cost. An own rate is as it is.
        """
        own = self._own.get(model)
        if own is not None:
            return own
        pinned = pinned_rates.rate(model)
        return pinned.with_surcharge(surcharge_percent) if pinned is not None and surcharge_percent else pinned

    def names(self) -> tuple[str, ...]:
        """The models whose rates are known, sorted."""
        return tuple(sorted({*self._own, *pinned_rates.names()}))

    @property
    def card_date(self) -> str:
        """The day, as YYYY-MM-DD, for which the pinned prices were taken."""
        return pinned_rates.card_date()

    @property
    def card_source(self) -> str:
        """What the pinned prices were taken from: a package and its version."""
        return pinned_rates.card_source()
