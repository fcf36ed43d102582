"""Plain data out of whatever a cell made: exact types only, so that encoding it runs no code of the cell's."""

from builtins import float, int, issubclass, len, list, map, set, str, tuple, type, zip  # noqa: UP029  (cells may replace them)
from typing import Any

from divebell_guest import wire

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_TEXT = frozenset({str})
_TYPE_NAME = type.__dict__["__name__"].__get__


def type_name(value: object) -> str:
    """The name of the value's type, whatever its metaclass says."""
    name: str = _TYPE_NAME(type(value))
    return name


def plain(value: Any, depth: int = 0) -> object:
    """The value as plain data: subclasses as what they extend, tuples as lists. WireError where it is none."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth > wire.MAX_DEPTH - 4:  # the answer around it nests too
        raise wire.WireError(f"it is nested more than {wire.MAX_DEPTH - 4} deep")
    if issubclass(kind, (list, tuple)):
        items = [*_own_iterator(kind)(value)]
        if len(items) > wire.MAX_ITEMS:
            raise wire.WireError(f"it has more than {wire.MAX_ITEMS:,} items")
        return items if _SCALARS.issuperset(set(map(type, items))) else [plain(item, depth + 1) for item in items]
    if issubclass(kind, dict):
        if dict.__len__(value) > wire.MAX_ITEMS:
            raise wire.WireError(f"it has more than {wire.MAX_ITEMS:,} entries")
        keys = list(dict.keys(value))
        if not _TEXT.issuperset(map(type, keys)):
            keys = [_scalar(key) for key in keys]
        wire.check_keys(keys)
        return {key: plain(item, depth + 1) for key, item in zip(keys, dict.values(value), strict=True)}
    return _scalar(value)


def _own_iterator(kind: type) -> Any:
    """How the type itself iterates, whatever a subclass says."""
    return list.__iter__ if issubclass(kind, list) else tuple.__iter__


def _scalar(value: Any) -> object:
    kind = type(value)
    if kind in _SCALARS:
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
