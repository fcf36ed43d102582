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
    """Calls of models whose price is not known, so that `spent_picodollars` does not include them."""

    @property
    def amounts(self) -> Amounts:
        """What counts against caps."""
        return Amounts(
            picodollars=self.spent_picodollars, tokens=self.input_tokens + self.output_tokens, calls=self.calls
        )

    def add(self, other: "Tally") -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def as_dict(self) -> dict[str, object]:
        """For Result.spend: the counts, and the money as Decimal dollars."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            _DOLLARS.get(name, name): dollars(value) if name in _DOLLARS else value for name, value in values.items()
        }


_DOLLARS = {"spent_picodollars": "dollars", "uncertain_picodollars": "uncertain_dollars"}
"""The names of the sums in money once they are dollars."""

assert all(Tally(**{each.name: 1 for each in fields(Tally)}).amounts), "each limit has its sum"
