"""Names of tests that are made from values."""

import re

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def name_value(value: object) -> str:
    """The value's repr, short and without addresses, so that a test has the same name in every process."""
    return _ADDRESS.sub("", repr(value))[:60]
