"""`Budget`: what a run may use. A budget is a plan; meter.py keeps the accounts."""

from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, TypeVar

from divebell_bridge.money.amounts import MAX_COUNT, Amounts, Caps, Limit
from divebell_bridge.money.dollars import picodollars, quote
from divebell_bridge.money.errors import ConfigurationError

MAX_SECONDS = 10**9
MAX_CHILD_DEPTH = 32


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one run, its children included, may use. Any limit may be left out (None).

    Raises ConfigurationError for a value that is out of range.
    """

    dollars: "str | int | Decimal | None" = None
    """Money, under the rate card. A str or Decimal: floats are refused, because 0.1 is not a tenth."""
    tokens: int | None = None
    """Input and output tokens of all calls together."""
    calls: int | None = None
    """Model calls, the root model's included."""
    seconds: float | None = None
    """Wall time of the whole run."""
    depth: int = 1
    """How deep children may go: 0 for none, so that rlm_query is a plain llm_query; 1 for children without children."""

    def __new__(cls, *values: Any, **limits: Any) -> "Budget":  # the TypeError of the generated __init__ would not help
        if values:
            raise ConfigurationError(
                f'a Budget needs the names of its limits, as Budget(dollars="0.30") or Budget(calls=20), not '
                f"Budget({quote(values[0])})"
            )
        field_names = [field.name for field in fields(cls)]
        if unknown := [name for name in limits if name not in field_names]:
            raise ConfigurationError(f"a Budget has no limit {quote(unknown[0])}: it has {', '.join(field_names)}")
        return super().__new__(cls)

    def __repr__(self) -> str:
        values = [f"{field.name}={getattr(self, field.name)!r:.100}" for field in fields(self)]
        return f"Budget({', '.join(value for value in values if not value.endswith('=None'))})"

    def __post_init__(self) -> None:
        for limit in Limit:
            self._cap(limit)
        seconds = self.seconds
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= MAX_SECONDS
        ):
            raise ConfigurationError(f"seconds must be a number over 0 or None, not {quote(seconds)}")
        if type(self.depth) is not int or not 0 <= self.depth <= MAX_CHILD_DEPTH:
            raise ConfigurationError(
                f"depth must be a whole number from 0 to {MAX_CHILD_DEPTH}, not {quote(self.depth)}"
            )

    @property
    def caps(self) -> Caps:
        """The cap in each limit, with the money as whole pico-dollars."""
        return Caps(*map(self._cap, Limit))

    def _cap(self, limit: Limit) -> int | None:
        value = getattr(self, limit.unit)
        if value is None:
            return None
        if limit is Limit.PICODOLLARS:
            return picodollars(value)
        if type(value) is not int or not 0 <= value <= MAX_COUNT:
            raise ConfigurationError(
                f"{limit.unit} must be a whole number from 0 to {MAX_COUNT:,} or None, not {quote(value)}"
            )
        return value

    def less(self, used: Amounts) -> "Budget":
        """What is left of this budget once that has been used. The seconds start again."""
        left: dict[str, Any] = {
            limit.unit: limit.in_unit(max(cap - used[limit], 0))
            for limit, cap in zip(Limit, self.caps, strict=True)
            if cap is not None
        }
        return replace(self, **left)

    def within(self, other: "Budget | None") -> "Budget":
        """This budget, with each limit no higher than the other's."""
        if other is None:
            return self
        lowest: dict[str, Any] = {
            limit.unit: getattr(self if mine == _lower(mine, theirs) else other, limit.unit)
            for limit, mine, theirs in zip(Limit, self.caps, other.caps, strict=True)
        }
        return Budget(
            **lowest,
            seconds=_lower(self.seconds, other.seconds),
            depth=min(self.depth, other.depth),
        )


assert {limit.unit for limit in Limit} <= {each.name for each in fields(Budget)}, "each limit is an argument of Budget"


def check_budget(value: object, what: str = "budget") -> Budget | None:
    """The value, if it is a Budget or None. ConfigurationError if it is an amount, or anything else."""
    if value is None or isinstance(value, Budget):
        return value
    raise ConfigurationError(f'{what} must be a Budget, as Budget(dollars="0.30"), not {quote(value)}')


_Number = TypeVar("_Number", int, float)


def _lower(one: "_Number | None", other: "_Number | None") -> "_Number | None":
    return other if one is None else one if other is None else min(one, other)
