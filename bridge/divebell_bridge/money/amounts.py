"""The limits of a budget, stated once: escrow, ledgers, reports and tables iterate `Limit` instead of naming each.

A limit is something that is held before a call and counted against a cap. Amounts are whole numbers in every limit. The
wall time and the depth of a run are bounded as well, but neither can be set aside, so they are not limits here.
"""

from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

from divebell_bridge.money.dollars import dollars

MAX_COUNT = 10**15
"""The most tokens or calls that a cap, or a threshold in a rate, may name."""


class Limit(IntEnum):
    """One limit. Its number is its place in `Amounts` and `Caps`, so that `amounts[limit]` is the amount in it."""

    PICODOLLARS = 0
    TOKENS = 1
    CALLS = 2

    @property
    def column(self) -> str:
        """Its name where programs read it: the end of a database's column names, and the field of `Amounts`."""
        return self.name.lower()

    @property
    def unit(self) -> str:
        """Its name where people read it, whose unit of money is the dollar."""
        return "dollars" if self is Limit.PICODOLLARS else self.column

    def in_unit(self, amount: int) -> "Decimal | int":
        """An amount as people see it: pico-dollars as dollars, exactly."""
        return dollars(amount) if self is Limit.PICODOLLARS else amount

    def quantity(self, amount: int) -> str:
        """An amount with its unit, for a sentence."""
        return f"${dollars(amount):f}" if self is Limit.PICODOLLARS else f"{amount:,} {self.unit}"


class Amounts(NamedTuple):
    """An amount in each limit."""

    picodollars: int = 0
    tokens: int = 0
    calls: int = 0


class Caps(NamedTuple):
    """A cap in each limit, or None if there is none."""

    picodollars: int | None = None
    tokens: int | None = None
    calls: int | None = None


NOTHING = Amounts()
NO_CAPS = Caps()

assert Amounts._fields == Caps._fields == tuple(limit.column for limit in Limit), "each limit has its place in both"
