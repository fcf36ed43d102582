"""Converts values of a cell to plain data: exact types only, so that encoding it runs no code of the cell's."""

from builtins import (  # noqa: UP029  (cells may replace them)
    bytearray,
    bytes,
    dict,
    float,
    frozenset,
    int,
    issubclass,
    len,
    list,
    map,
    set,
    str,
    tuple,
    type,
    zip,
)
from typing import Any

from divebell_guest import bounds, wire

SCALARS = frozenset({type(None), bool, int, float, str, bytes})
MAX_DEPTH = wire.MAX_DEPTH - 4  # of a value: what is around it in a message nests too
_TEXT = frozenset({str})
_TYPE_NAME = type.__dict__["__name__"].__get__


def type_name(value: object) -> str:
    """The name of the value's type, whatever its metaclass says."""
    name: str = _TYPE_NAME(type(value))
    return name


_SIZED: tuple[Any, ...] = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


def length_of(value: object) -> int | None:
    """How many items or characters a builtin container has, whatever a subclass says; None for anything else."""
    for kind in _SIZED:
        if issubclass(type(value), kind):
            return kind.__len__(value)  # type: ignore[no-any-return]
    return None


def is_modest(value: object, most: int) -> bool:
    """Whether the value is plain data by the exact types of all its parts, and holds at most `most` items and
    characters, all together: then its text is safe to make outside of a cell."""
    left = most
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for part in level:
            kind = type(part)
            left -= 1
            if kind in (list, tuple, dict):
                left -= len(part)
                if left < 0:
                    return False
                below.extend([*part, *part.values()] if kind is dict else part)
            elif kind in (str, bytes):
                left -= len(part)
            elif kind not in SCALARS or (kind is int and part.bit_length() > bounds.MAX_INTEGER_BITS):
                return False
            if left < len(below):
                return False
        if not below:
            return True
        level = below
    return False


def to_plain(value: Any, depth: int = 0) -> object:
    """The value as plain data: subclasses as what they extend, tuples as lists. WireError where it is not plain
    data."""
    kind = type(value)
    if kind in SCALARS:
        return value
    if depth > MAX_DEPTH:
        raise wire.WireError(f"it is nested more than {MAX_DEPTH} deep")
    if issubclass(kind, (list, tuple)):
        items = [*_own_iterator(kind)(value)]
        if len(items) > wire.MAX_ITEMS:
            raise wire.WireError(f"it has more than {wire.MAX_ITEMS:,} items")
        return items if SCALARS.issuperset(set(map(type, items))) else [to_plain(item, depth + 1) for item in items]
    if issubclass(kind, dict):
        if dict.__len__(value) > wire.MAX_ITEMS:
            raise wire.WireError(f"it has more than {wire.MAX_ITEMS:,} entries")
        keys = list(dict.keys(value))
        if not _TEXT.issuperset(map(type, keys)):
            keys = [to_scalar(key) for key in keys]
        wire.check_keys(keys)
        return {key: to_plain(item, depth + 1) for key, item in zip(keys, dict.values(value), strict=True)}
    return to_scalar(value)


def _own_iterator(kind: type) -> Any:
    """How the type itself iterates, whatever a subclass says."""
    return list.__iter__ if issubclass(kind, list) else tuple.__iter__


def to_scalar(value: Any) -> object:
    """A str, int, float or bytes as one of exactly that type. WireError where it is none of them."""
    kind = type(value)
    if kind in SCALARS:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__index__(value)
    if issubclass(kind, float):
        return float.__float__(value)
    if issubclass(kind, bytes):
        return bytes(memoryview(value))
    raise wire.WireError(
        f"{type_name(value)} is not plain data; plain data is None, bool, int, float, str, bytes, list, tuple and dict "
        "of these"
    )
