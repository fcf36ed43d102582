"""Names of tests that are made from values."""

import re

from divebell_bridge.money.dollars import quote

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def name_value(value: object) -> str:
    """The value's repr, short and without addresses, so that a test has the same name in every process."""
    try:
        text = repr(value)
    except ValueError:  # an integer with too many digits is in it
        text = quote(value)
    return _ADDRESS.sub("", text)[:60]
