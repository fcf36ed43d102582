"""`Budget`: what a run may use. Amounts of money are exact: whole pico-dollars inside, str or Decimal outside.

A budget is a plan; bridge/divebell_bridge/money/meter.py keeps the accounts.
"""

import re
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from divebell_bridge.money.errors import ConfigurationError

if TYPE_CHECKING:
    from divebell_bridge.money.tally import Tally

_PICODOLLAR_DIGITS = 12
_PICODOLLARS_PER_DOLLAR = 10**12
MAX_DOLLARS = 1_000_000_000
MAX_PICODOLLARS = MAX_DOLLARS * 10**_PICODOLLAR_DIGITS
MAX_AMOUNT_CHARACTERS = 100
MAX_COUNT = 10**15
MAX_SECONDS = 10**9
MAX_SHOWN_CHARACTERS = 50
_AMOUNT = re.compile(r"(?:\$\s*)?([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,20}))?")
"""An amount as text. Plain digits alone: no separators, and no digits of other scripts that look like these."""


def shown(value: object) -> str:
    """A value that was refused, for the sentence that refuses it: short, on one line, whatever it is."""
    if type(value) is int and value.bit_length() > 4 * MAX_SHOWN_CHARACTERS:  # Python refuses to print one too long
        return f"an integer of {value.bit_length():,} bits"
    try:
        text = repr(value[: MAX_SHOWN_CHARACTERS + 1] if isinstance(value, str) else value)
    except Exception:  # its own repr failed
        return f"a {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def picodollars(amount: "str | int | Decimal", what: str = "dollars") -> int:
    """An amount of dollars as whole pico-dollars. ConfigurationError for floats, anything finer, and nonsense."""
    if isinstance(amount, bool) or not isinstance(amount, (str, int, Decimal)):
        raise ConfigurationError(
            f'{what} must be a str, int or Decimal, not {type(amount).__name__}; write "0.30" for 30 cents'
        )
    out_of_range = f"{what} must be from 0 to {MAX_DOLLARS:,}, not {shown(amount)}"
    if isinstance(amount, int):
        if not 0 <= amount <= MAX_DOLLARS:
            raise ConfigurationError(out_of_range)
        return amount * _PICODOLLARS_PER_DOLLAR
    text = str(amount).strip() if isinstance(amount, Decimal) or len(amount) <= MAX_AMOUNT_CHARACTERS else ""
    found = _AMOUNT.fullmatch(text) if len(text) <= MAX_AMOUNT_CHARACTERS else None
    if found is None:
        raise ConfigurationError(f'{what} must be a number such as "0.30", not {shown(amount)}')
    # Whole numbers from here on: Decimal's own arithmetic rounds as the application has set it up to.
    sign, digits, exponent = found.groups()
    before, _, decimals = digits.partition(".")
    number = int(before + decimals)
    if not number:  # before its exponent is looked at, which may have any size
        return 0
    shift = int(exponent or 0) - len(decimals) + _PICODOLLAR_DIGITS
    if sign == "-" or shift > len(str(MAX_PICODOLLARS)):
        raise ConfigurationError(out_of_range)
    whole, rest = (number * 10**shift, 0) if shift >= 0 else divmod(number, 10 ** min(-shift, MAX_AMOUNT_CHARACTERS))
    if rest:
        raise ConfigurationError(f"{what} has more than 12 decimal places: {shown(amount)}")
    if whole > MAX_PICODOLLARS:
        raise ConfigurationError(out_of_range)
    return int(whole)


def dollars(amount_picodollars: int) -> Decimal:
    """Pico-dollars as dollars, exactly, and without zeros at the end: 0.3, 5, 0."""
    digits = str(abs(amount_picodollars))
    decimals = (
        min(_PICODOLLAR_DIGITS, len(digits) - len(digits.rstrip("0"))) if amount_picodollars else _PICODOLLAR_DIGITS
    )
    shown = digits[: len(digits) - decimals] or "0"
    return Decimal((amount_picodollars < 0, tuple(map(int, shown)), decimals - _PICODOLLAR_DIGITS))


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

    def __new__(cls, *values: Any, **limits: Any) -> "Budget":  # what __init__ says of one is no help
        if values:
            raise ConfigurationError(
                f'a Budget needs the names of its limits, as Budget(dollars="0.30") or Budget(calls=20), not '
                f"Budget({shown(values[0])})"
            )
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in limits if name not in known]:
            raise ConfigurationError(f"a Budget has no limit {shown(unknown[0])}: it has {', '.join(known)}")
        return super().__new__(cls)

    def __repr__(self) -> str:
        given = [f"{field.name}={getattr(self, field.name)!r:.100}" for field in fields(self)]
        return f"Budget({', '.join(one for one in given if not one.endswith('=None'))})"

    def __post_init__(self) -> None:
        if self.dollars is not None:
            picodollars(self.dollars)
        for name in ("tokens", "calls"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 0 <= value <= MAX_COUNT):
                raise ConfigurationError(
                    f"{name} must be a whole number from 0 to {MAX_COUNT:,} or None, not {shown(value)}"
                )
        seconds = self.seconds
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= MAX_SECONDS
        ):
            raise ConfigurationError(f"seconds must be a number over 0 or None, not {shown(seconds)}")
        if type(self.depth) is not int or not 0 <= self.depth <= 32:
            raise ConfigurationError(f"depth must be a whole number from 0 to 32, not {shown(self.depth)}")

    @property
    def cap_picodollars(self) -> int | None:
        return None if self.dollars is None else picodollars(self.dollars)

    def less(self, used: "Tally") -> "Budget":
        """What is left of this budget after so much has been used; seconds begin anew."""
        cap = self.cap_picodollars
        return replace(
            self,
            dollars=None if cap is None else dollars(max(cap - used.spent_picodollars, 0)),
            tokens=None if self.tokens is None else max(self.tokens - used.input_tokens - used.output_tokens, 0),
            calls=None if self.calls is None else max(self.calls - used.calls, 0),
        )

    def within(self, other: "Budget | None") -> "Budget":
        """This budget, with each limit no higher than the other's."""
        if other is None:
            return self
        mine, theirs = self.cap_picodollars, other.cap_picodollars
        return Budget(
            dollars=self.dollars if theirs is None or (mine is not None and mine <= theirs) else other.dollars,
            tokens=_lower(self.tokens, other.tokens),
            calls=_lower(self.calls, other.calls),
            seconds=_lower(self.seconds, other.seconds),
            depth=min(self.depth, other.depth),
        )


def checked_budget(given: object, what: str = "budget") -> Budget | None:
    """What was given, if it is a Budget or None. ConfigurationError where it is an amount, or anything else."""
    if given is None or isinstance(given, Budget):
        return given
    raise ConfigurationError(f'{what} must be a Budget, as Budget(dollars="0.30"), not {shown(given)}')


_Number = TypeVar("_Number", int, float)


def _lower(one: "_Number | None", other: "_Number | None") -> "_Number | None":
    return other if one is None else one if other is None else min(one, other)
