"""`Rate`: what a model's tokens cost, as integers, and the two sums that the meter needs: the hold and the cost.

Guaranteed: a call with at most the given input and output tokens never costs more than the hold for these numbers,
whichever part of its input was cached or written to the cache, and on whichever side of a long-prompt threshold it is.

A fee for each request is part of both sums. If an endpoint may answer from a more expensive service tier,
`tier_percents` says what that costs: the hold is for the most expensive tier, the cost for the one in the reply.

Not modelled: what Divebell never asks a provider for, such as batches, searches, audio and caches kept longer than by
default. If an application's models do so, its rate must cover it: a fee for as many searches as one request may make.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from divebell_bridge.money.amounts import MAX_COUNT
from divebell_bridge.money.dollars import MAX_PICODOLLARS, picodollars, quote
from divebell_bridge.money.errors import ConfigurationError

MAX_LONG_PROMPTS = 16
MAX_TOKENS_PER_BYTE = 64
MAX_TIERS = 16
MAX_PERCENT = 10_000
_ASCII = bytes(range(128))


def _picodollars_per_token(dollars_per_million: "str | Decimal", what: str) -> int:
    whole, rest = divmod(picodollars(dollars_per_million, what), 1_000_000)
    if rest:
        raise ConfigurationError(
            f"{what} has more than 6 decimal places per million tokens: {quote(dollars_per_million)}"
        )
    return whole


@dataclass(frozen=True)
class LongPrompt:
    """All tokens of a call whose input is over `over_input_tokens` are charged at `rate`, including the first ones."""

    over_input_tokens: int
    rate: "Rate"

    def __post_init__(self) -> None:
        if type(self.over_input_tokens) is not int or not 0 <= self.over_input_tokens <= MAX_COUNT:
            raise ConfigurationError(
                f"over_input_tokens must be a whole number from 0 to {MAX_COUNT:,}, not {quote(self.over_input_tokens)}"
            )
        if not isinstance(self.rate, Rate) or not self.rate.is_of_tokens_alone:
            raise ConfigurationError(
                "the rate of a long prompt must be a Rate with token prices only, without long prompts of its own"
            )


@dataclass(frozen=True)
class Rate:
    """Whole pico-dollars per token. Raises ConfigurationError for anything else."""

    input_picodollars: int
    output_picodollars: int
    """Reasoning tokens are output tokens."""
    cached_input_picodollars: int | None = None
    """Input that the provider read from its prefix cache; None: as other input."""
    cache_write_picodollars: int | None = None
    """Input that the provider wrote to its prefix cache, dearer than other input with some; None: as other input."""
    long_prompts: tuple[LongPrompt, ...] = ()
    """In ascending order. The last one whose threshold the input is over is the rate of the whole call."""
    max_tokens_per_byte: int = 1
    """The most input tokens for each UTF-8 byte sent that is not ASCII. Over 1 for tokenizers that normalise first: at
    worst 3 for NFC (U+1D1C0), 11 for NFKC (U+FDFA). Normalising leaves ASCII alone: a token of it is a byte or more."""
    request_picodollars: int = 0
    """A fee for each request, whatever its tokens."""
    tier_percents: tuple[tuple[str, int], ...] = ()
    """Service tiers by name, and what tokens cost in them, in percent of these prices. A reply from a tier that is not
    here costs its whole hold, unless that tier is never dearer."""

    def __post_init__(self) -> None:
        cached, written = self.cached_input_picodollars, self.cache_write_picodollars
        optional = [amount for amount in (cached, written) if amount is not None]
        for amount in (self.input_picodollars, self.output_picodollars, self.request_picodollars, *optional):
            if type(amount) is not int or not 0 <= amount <= MAX_PICODOLLARS:
                raise ConfigurationError(
                    f"a rate must be a whole number of pico-dollars, 0 or more, not {quote(amount)}"
                )
        factor = self.max_tokens_per_byte
        if type(factor) is not int or not 1 <= factor <= MAX_TOKENS_PER_BYTE:
            raise ConfigurationError(
                f"max_tokens_per_byte must be a whole number from 1 to {MAX_TOKENS_PER_BYTE}, not {quote(factor)}"
            )
        tiers = self.long_prompts
        if not isinstance(tiers, tuple) or not all(isinstance(tier, LongPrompt) for tier in tiers):
            raise ConfigurationError("long_prompts must be a tuple of LongPrompt")
        starts = [tier.over_input_tokens for tier in tiers]
        if len(tiers) > MAX_LONG_PROMPTS or starts != sorted(set(starts)):
            raise ConfigurationError(
                f"long_prompts must be at most {MAX_LONG_PROMPTS}, each with a higher threshold than the one before"
            )
        self._check_tiers()

    def _check_tiers(self) -> None:
        tiers = self.tier_percents
        if not isinstance(tiers, tuple) or len(tiers) > MAX_TIERS:
            raise ConfigurationError(f"tier_percents must be at most {MAX_TIERS} service tiers, each with a percentage")
        for tier in tiers:
            if not isinstance(tier, tuple) or len(tier) != 2 or not isinstance(tier[0], str) or not tier[0]:
                raise ConfigurationError(f"a service tier must be a name and a percentage, not {tier!r}")
            if type(tier[1]) is not int or not 1 <= tier[1] <= MAX_PERCENT:
                raise ConfigurationError(
                    f"a tier's percentage must be a whole number from 1 to {MAX_PERCENT:,}, not {tier[1]!r}"
                )

    @property
    def is_of_tokens_alone(self) -> bool:
        """Whether it has prices of tokens and nothing else."""
        return (
            not (self.long_prompts or self.request_picodollars or self.tier_percents) and self.max_tokens_per_byte == 1
        )

    @classmethod
    def per_million(
        cls,
        input: "str | Decimal",
        output: "str | Decimal",
        cached_input: "str | Decimal | None" = None,
        *,
        cache_write: "str | Decimal | None" = None,
        long_prompts: tuple[LongPrompt, ...] = (),
        max_tokens_per_byte: int = 1,
        request_fee: "str | Decimal" = "0",
        tier_percents: "Mapping[str, int] | None" = None,
    ) -> "Rate":
        """A rate as providers print it: dollars per million tokens, for example `Rate.per_million("0.25", "2.00")`.

        request_fee: dollars for each request, on top. tier_percents: what other service tiers cost, in percent of these
        prices, for example {"priority": 200, "flex": 50}.
        """
        if not isinstance(tier_percents, Mapping | None):
            raise ConfigurationError(
                f'tier_percents must be a dict such as {{"priority": 200}}, not a {type(tier_percents).__name__}'
            )
        return cls(
            _picodollars_per_token(input, "the input rate"),
            _picodollars_per_token(output, "the output rate"),
            None if cached_input is None else _picodollars_per_token(cached_input, "the cached input rate"),
            None if cache_write is None else _picodollars_per_token(cache_write, "the cache write rate"),
            long_prompts,
            max_tokens_per_byte,
            picodollars(request_fee, "the fee for a request"),
            tuple((tier_percents or {}).items()),
        )

    def with_surcharge(self, percent: int) -> "Rate":
        """The rate of an endpoint whose tokens cost `percent` percent more. Rounded up."""
        if type(percent) is not int or not 0 <= percent <= MAX_PERCENT:
            raise ConfigurationError(
                f"a surcharge must be a whole number of percent from 0 to {MAX_PERCENT:,}, not {percent!r}"
            )

        def dearer(amount: int | None) -> int | None:
            return None if amount is None else _percent(amount, 100 + percent)

        return replace(
            self,
            input_picodollars=_percent(self.input_picodollars, 100 + percent),
            output_picodollars=_percent(self.output_picodollars, 100 + percent),
            cached_input_picodollars=dearer(self.cached_input_picodollars),
            cache_write_picodollars=dearer(self.cache_write_picodollars),
            long_prompts=tuple(replace(tier, rate=tier.rate.with_surcharge(percent)) for tier in self.long_prompts),
        )

    def knows_tier(self, tier: str) -> bool:
        """Whether it has a price for a service tier; "" is the standard one."""
        return not tier or tier in dict(self.tier_percents)

    def most_input_tokens(self, text: str) -> int:
        """The most input tokens that this text can be, without the framing around it."""
        if text.isascii():
            return len(text)
        sent = text.encode("utf-8", "surrogatepass")
        if self.max_tokens_per_byte == 1:
            return len(sent)
        beyond_ascii = len(sent.translate(None, _ASCII))
        return len(sent) + (self.max_tokens_per_byte - 1) * beyond_ascii

    def hold_picodollars(self, input_tokens: int, output_tokens: int) -> int:
        """The most that a call with at most these tokens can cost. It never falls as either number grows."""
        most = 0
        for inputs, rate in self._reachable(input_tokens):
            most = max(most, inputs * rate._dearest_input_picodollars + output_tokens * rate.output_picodollars)
        return _percent(most, self._dearest_percent) + self.request_picodollars

    def cost_picodollars(
        self,
        input_tokens: int,
        output_tokens: int,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        *,
        service_tier: str = "",
    ) -> int:
        """What a call with exactly these tokens costs; the cached and the written ones are among `input_tokens`. A
        service tier without a price here costs as much as the dearest with one.

        More cached and written tokens than input cannot be true: then all of the input costs the dearest that it may.
        ConfigurationError for a number below 0.
        """
        if min(input_tokens, output_tokens, cached_input_tokens, cache_write_tokens) < 0:
            raise ConfigurationError("a call cannot have fewer than 0 tokens")
        _, rate = self._reachable(input_tokens)[-1]
        output = output_tokens * rate.output_picodollars
        fresh = input_tokens - cached_input_tokens - cache_write_tokens
        percent = dict(self.tier_percents).get(service_tier, self._dearest_percent) if service_tier else 100
        if fresh < 0:
            tokens = input_tokens * rate._dearest_input_picodollars + output
            return _percent(tokens, percent) + self.request_picodollars
        tokens = (
            fresh * rate.input_picodollars
            + cached_input_tokens * rate._or_input(rate.cached_input_picodollars)
            + cache_write_tokens * rate._or_input(rate.cache_write_picodollars)
            + output
        )
        return _percent(tokens, percent) + self.request_picodollars

    def output_tokens_within(self, picodollars: int, input_tokens: int) -> int | None:
        """The most output tokens for which the hold, with that input, fits into `picodollars`.

        None if output is free, and so any number fits. 0 also where not even the input fits.
        """
        most: int | None = None
        if picodollars < self.request_picodollars:
            return 0
        picodollars = (picodollars - self.request_picodollars) * 100 // self._dearest_percent
        for inputs, rate in self._reachable(input_tokens):
            left = picodollars - inputs * rate._dearest_input_picodollars
            if left < 0:
                return 0
            if rate.output_picodollars:
                fits = left // rate.output_picodollars
                most = fits if most is None else min(most, fits)
        return most

    def _reachable(self, input_tokens: int) -> "list[tuple[int, Rate]]":
        """Each rate that a call with at most `input_tokens` may be charged at, with the most input that it can have
        then."""
        reachable: list[tuple[int, Rate]] = []
        rate = self
        for tier in self.long_prompts:
            if input_tokens <= tier.over_input_tokens:
                break
            reachable.append((tier.over_input_tokens, rate))
            rate = tier.rate
        reachable.append((input_tokens, rate))
        return reachable

    @property
    def _dearest_percent(self) -> int:
        return max([100, *(percent for _, percent in self.tier_percents)])

    @property
    def _dearest_input_picodollars(self) -> int:
        return max(self.input_picodollars, self.cached_input_picodollars or 0, self.cache_write_picodollars or 0)

    def _or_input(self, amount: int | None) -> int:
        return self.input_picodollars if amount is None else amount


def _percent(picodollars: int, percent: int) -> int:
    """That percentage of the amount, rounded up."""
    return -(-picodollars * percent // 100)


FREE = Rate(0, 0)
