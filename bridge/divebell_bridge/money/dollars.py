"""Money, exactly: whole pico-dollars inside, str or Decimal dollars outside. Floats are refused."""

import re
from decimal import Decimal

from divebell_bridge.money.errors import ConfigurationError

_PICODOLLAR_DIGITS = 12
_PICODOLLARS_PER_DOLLAR = 10**12
MAX_DOLLARS = 1_000_000_000
MAX_PICODOLLARS = MAX_DOLLARS * 10**_PICODOLLAR_DIGITS
MAX_AMOUNT_CHARACTERS = 100
MAX_QUOTED_CHARACTERS = 50
_AMOUNT = re.compile(r"(?:\$\s*)?([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,20}))?")
"""An amount as text: plain digits only, without separators or the digits of other scripts, which may look alike."""


def quote(value: object) -> str:
    """A value that was refused, for the sentence that refuses it: short, on one line, whatever it is."""
    if type(value) is int and value.bit_length() > 4 * MAX_QUOTED_CHARACTERS:  # Python refuses to print one too long
        return f"an integer of {value.bit_length():,} bits"
    try:
        text = repr(value[: MAX_QUOTED_CHARACTERS + 1] if isinstance(value, str) else value)
    except Exception:  # its own repr failed
        return f"a {type(value).__name__}"
    return text if len(text) <= MAX_QUOTED_CHARACTERS else f"{text[:MAX_QUOTED_CHARACTERS]}..."


def picodollars(amount: "str | int | Decimal", what: str = "dollars") -> int:
    """An amount of dollars as whole pico-dollars. ConfigurationError for floats, anything finer, and nonsense."""
    if isinstance(amount, bool) or not isinstance(amount, (str, int, Decimal)):
        raise ConfigurationError(
            f'{what} must be a str, int or Decimal, not {type(amount).__name__}; write "0.30" for 30 cents'
        )
    out_of_range = f"{what} must be from 0 to {MAX_DOLLARS:,}, not {quote(amount)}"
    if isinstance(amount, int):
        if not 0 <= amount <= MAX_DOLLARS:
            raise ConfigurationError(out_of_range)
        return amount * _PICODOLLARS_PER_DOLLAR
    text = str(amount).strip() if isinstance(amount, Decimal) or len(amount) <= MAX_AMOUNT_CHARACTERS else ""
    match = _AMOUNT.fullmatch(text) if len(text) <= MAX_AMOUNT_CHARACTERS else None
    if match is None:
        raise ConfigurationError(f'{what} must be a number such as "0.30", not {quote(amount)}')
    # Whole numbers from here on: Decimal's own arithmetic rounds as the application has set it up to.
    sign, digits, exponent = match.groups()
    before, _, decimals = digits.partition(".")
    number = int(before + decimals)
    if not number:  # before its exponent is looked at, which may have any size
        return 0
    shift = int(exponent or 0) - len(decimals) + _PICODOLLAR_DIGITS
    if sign == "-" or shift > len(str(MAX_PICODOLLARS)):
        raise ConfigurationError(out_of_range)
    whole, rest = (number * 10**shift, 0) if shift >= 0 else divmod(number, 10 ** min(-shift, MAX_AMOUNT_CHARACTERS))
    if rest:
        raise ConfigurationError(f"{what} has more than 12 decimal places: {quote(amount)}")
    if whole > MAX_PICODOLLARS:
        raise ConfigurationError(out_of_range)
    return int(whole)


def dollars(amount_picodollars: int) -> Decimal:
    """Pico-dollars as dollars, exactly, and without zeros at the end: 0.3, 5, 0."""
    digits = str(abs(amount_picodollars))
    decimals = (
        min(_PICODOLLAR_DIGITS, len(digits) - len(digits.rstrip("0"))) if amount_picodollars else _PICODOLLAR_DIGITS
    )
    significant = digits[: len(digits) - decimals] or "0"
    return Decimal((amount_picodollars < 0, tuple(map(int, significant)), decimals - _PICODOLLAR_DIGITS))
