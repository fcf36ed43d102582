"""What has been used, counted by model, for people to read. Caps are enforced elsewhere (escrow.py)."""

from dataclasses import dataclass, fields

from divebell_bridge.money.amounts import Amounts
from divebell_bridge.money.dollars import dollars


@dataclass(slots=True)
class Tally:
    """What one model used, or one run in all. `uncertain_*` is the part charged without a report from the provider;
    `memo_calls` were answered from the memo, free of charge, and are not among the `calls`.

    `cached_input_tokens` and `cache_write_tokens` are parts of `input_tokens`: what the provider read from its prefix
    cache and wrote to it.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    spent_picodollars: int = 0
    uncertain_calls: int = 0
    uncertain_picodollars: int = 0
    refunded_calls: int = 0
    memo_calls: int = 0
    unpriced_calls: int = 0
    """Of models whose price is not known: what they cost is not in the money."""

    @property
    def amounts(self) -> Amounts:
        """What counts against caps."""
        return Amounts(self.spent_picodollars, self.input_tokens + self.output_tokens, self.calls)

    def add(self, other: "Tally") -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def as_dict(self) -> dict[str, object]:
        """For Result.spend: the counts, and the money as Decimal dollars."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_input_tokens": self.cached_input_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "dollars": dollars(self.spent_picodollars),
            "uncertain_calls": self.uncertain_calls,
            "uncertain_dollars": dollars(self.uncertain_picodollars),
            "refunded_calls": self.refunded_calls,
            "memo_calls": self.memo_calls,
            "unpriced_calls": self.unpriced_calls,
        }
