"""What one model call used, as its provider reported it. On the ground floor: errors carry it as completions do."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a call used, in tokens, as the provider reported it. `output_tokens` includes reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    """The part of `input_tokens` that the provider read from its prefix cache."""
    cache_write_tokens: int = 0
    """The part of `input_tokens` that the provider wrote to its prefix cache, if it reports that: some charge more for
    it. No token is in both parts."""
    service_tier: str = ""
    """The endpoint's tier, if it is not the standard one: a rate may have its price (Rate.tier_percents)."""
    reported_picodollars: int = 0
    """What the endpoint itself says that the call cost, in 10^-12 dollars. It counts if it is more than the rate's
    price of the tokens."""
