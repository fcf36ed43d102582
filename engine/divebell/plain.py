"""An application's values as JSON data: what `Result.to_dict` gives back."""

import base64
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any

MAX_NESTING = 100
"""How deep a value may nest. What an answer's schema lets through is far less deep."""
MAX_INTEGER_BITS = 14_000
"""CPython writes no integer of more than 4,300 decimal digits. Larger ones are hexadecimal text."""
MAX_EXPONENT = 100
"""Of a Decimal that is written out."""


def to_plain(value: Any, nesting: int = 0) -> Any:
    """The value as dicts, lists, texts, numbers, booleans and None, which json.dumps takes, without NaN.

    A Decimal is its exact text, an integer of over MAX_INTEGER_BITS hexadecimal text, a float that is no number None,
    bytes are base64, a dataclass and a pydantic model a dict of its fields, an enumeration its value, an error its
    sentence, sets are lists. What pydantic can put into JSON (dates, times, UUIDs, URLs) is as pydantic writes it, and
    everything else its text. ValueError if it nests more than MAX_NESTING deep.
    """
    if nesting > MAX_NESTING:
        raise ValueError(f"the value nests more than {MAX_NESTING} deep")
    if isinstance(value, Enum):  # before str and int: an enumeration may be one, too
        return to_plain(value.value, nesting + 1)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value) if value.bit_length() <= MAX_INTEGER_BITS else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return _exact(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {_key(name): to_plain(item, nesting + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(item, nesting + 1) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name), nesting + 1) for field in fields(value)}
    if isinstance(value, (BaseException, PurePath)):
        return str(value)
    return _by_pydantic(value, nesting)


def _exact(value: Decimal) -> str:
    """All digits where they are few, the exponent where writing it out would take a billion zeros."""
    exponent = value.as_tuple().exponent
    return f"{value:f}" if isinstance(exponent, int) and abs(exponent) <= MAX_EXPONENT else str(value)


def _key(name: object) -> str:
    if isinstance(name, str):
        return str.__str__(name)
    plain = to_plain(name)
    return plain if isinstance(plain, str) else str(plain)


def _by_pydantic(value: Any, nesting: int) -> Any:
    import pydantic
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    if isinstance(value, pydantic.BaseModel):
        return to_plain(value.model_dump(mode="python"), nesting + 1)
    try:
        return to_plain(to_jsonable_python(value), nesting + 1)
    except (PydanticSerializationError, ValueError):
        return str(value)
