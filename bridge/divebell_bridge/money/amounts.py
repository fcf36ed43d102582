"""The limits of a budget, stated once: escrow, ledgers, reports and tables iterate `Limit` instead of naming each.

A limit is something that is held before a call and counted against a cap. Amounts are whole numbers in every limit. The
wall time and the depth of a run are bounded as well, but neither can be set aside, so they are not limits here.
"""

from collections.abc import Iterable
from decimal import Decimal
from enum import IntEnum
from operator import add
from typing import NamedTuple

from divebell_bridge.money.dollars import dollars

MAX_COUNT = 10**15
"""The most that a cap in anything but money, or a threshold in a rate, may name."""


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

    @property
    def is_in_every_call(self) -> bool:
        """Whether every call uses some of it, so that nothing can run where none of it is left."""
        return self in _IN_EVERY_CALL

    @property
    def is_reported(self) -> bool:
        """Whether it is the provider that says how much of it a call used, and so may go over what was held."""
        return self in _REPORTED

    def in_unit(self, amount: int) -> "Decimal | int":
        """An amount as people see it: pico-dollars as dollars, exactly."""
        return dollars(amount) if self is Limit.PICODOLLARS else amount

    def quantity(self, amount: int) -> str:
        """An amount with its unit, for a sentence."""
        return f"${dollars(amount):f}" if self is Limit.PICODOLLARS else f"{amount:,} {self.unit}"


_IN_EVERY_CALL = frozenset({Limit.PICODOLLARS, Limit.TOKENS, Limit.CALLS})
_REPORTED = frozenset({Limit.PICODOLLARS, Limit.TOKENS})


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
STOPPED = Caps(*(0 for _ in Limit))
"""The caps of a tenant that was stopped."""

assert Amounts._fields == Caps._fields == tuple(limit.column for limit in Limit), "each limit has its place in both"


def total(amounts: Iterable[Amounts]) -> Amounts:
    """The sum in each limit."""
    sums = NOTHING
    for each in amounts:
        sums = Amounts(*map(add, sums, each))
    return sums
