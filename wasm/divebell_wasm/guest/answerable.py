"""Which values may be an answer, with their text and their plain data. One rule for all ways to give it.

| the value | its data | its text |
|---|---|---|
| str, bool, int, float, None, bytes | itself | what `print` shows |
| list, tuple, dict | list or dict of its parts' data | what `print` shows |
| set, frozenset | a list, sorted where that can be | what `print` shows |
| a kind of dict or sequence (Counter, deque, range, views of a dict) | dict or list | that dict's or list's |
| a named tuple, a dataclass | dict by the fields' names | what `print` shows |
| Enum | its value's | what `print` shows |
| date, time, datetime | ISO 8601 | what `print` shows |
| timedelta | its seconds | what `print` shows |
| Decimal | an int or float where one is exactly equal, else its digits as a str | what `print` shows |
| Fraction | an int or the nearest float | what `print` shows |
| UUID, complex, a path, an exception | its text | what `print` shows |
| bytearray, memoryview | bytes | those bytes' |
| what has model_dump(), tolist() or to_dict() | what that returns | what `print` shows |
| an object of a class of the cell's | dict of its public attributes | its own, or else that dict's |
| any other object with a text of its own | that text | what `print` shows |

What has a text and no data: a dict with a key that is not a scalar, and what is too large or too deep.

A list or dict that holds a date, a Decimal or another of these has its data's text: `['2024-05-01']`.

What is refused, also inside of the others, with what to do: what has not run or is used up by reading (coroutines,
tasks, generators and other iterators, open files), what is code (functions, methods, classes, modules), what a search
or a lock is (Match, Pattern, locks and other objects that only show their address), and the placeholders `...` and
NotImplemented.

Kinds are recognised by `type(value)` and what its bases define, never by what the value says of itself. Methods of the
cell's own classes run as code of the cell, inside of its limits.
"""

import array
import collections
import concurrent.futures
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import pathlib
import re
import types
import uuid
from builtins import BaseException, dict, issubclass, len, list, str, tuple, type  # noqa: UP029  (cells may replace them)
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from divebell_guest import wire
from divebell_guest.door import BadAnswer
from divebell_guest.values import MAX_DEPTH, SCALARS, to_scalar, type_name

MAX_PATH_PARTS = 8  # of where in the value something is, in a message
ABSENT: Any = object()
"""Stands for the data of a value that has none."""

_MRO = type.__dict__["__mro__"].__get__
_DICT = type.__dict__["__dict__"].__get__
_ONLY_AN_ADDRESS = re.compile(r"<[^<>\n]{0,300}? at 0x[0-9a-fA-F]{1,16}")
_CELL_FILE = "<cell "

_CODE = (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodWrapperType,
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType, functools.partial,
    functools.partialmethod, type(functools.lru_cache(len)), staticmethod, classmethod, property,
)  # fmt: skip
_CLASSES = (type, types.GenericAlias, types.UnionType)
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()), type({}.items()))


class _Walk:
    """The state of one walk through a value and all its parts."""

    __slots__ = ("items_left", "problem", "shows_data")

    def __init__(self) -> None:
        self.items_left = wire.MAX_ITEMS
        self.problem = ""  # why the value has no data; the walk goes on, to find what cannot be an answer at all
        self.shows_data = False  # its text is its data's, because it would print as Python's own words for it

    def has_no_data(self, problem: str) -> None:
        self.problem = self.problem or problem

    def count(self, items: int) -> bool:
        """Count more items. False if they are over the bound."""
        self.items_left -= items
        if self.items_left < 0:
            self.has_no_data(f"it has more than {wire.MAX_ITEMS:,} items")
        return self.items_left >= 0


class _NotAnswer(Exception):
    """A part of the value cannot be an answer. `path` leads to it, the innermost step first."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__()
        self.what, self.advice = what, advice
        self.path: list[str] = []

    def sentence(self) -> str:
        where = "".join(reversed(self.path[-MAX_PATH_PARTS:]))
        subject = f"{where} in it" if where else "it"
        return f"this cannot be the answer: {subject} is {self.what}: {self.advice}"


def read(value: object) -> tuple[str, object]:
    """The value's text, and its data, or ABSENT if it has none. Raises BadAnswer where it cannot be an answer."""
    if type(value) is str:
        return value, value
    walk = _Walk()
    data = _walk_value(value, walk)
    if walk.problem:
        return _text(value, ABSENT), ABSENT
    return _text(value, data if walk.shows_data else ABSENT), data


def data_of(value: object) -> object:
    """The value's data. Raises BadAnswer where it cannot be an answer, or has no data."""
    walk = _Walk()
    data = _walk_value(value, walk)
    if walk.problem:
        raise BadAnswer(f"this cannot be an answer: {walk.problem}")
    return data


def _walk_value(value: object, walk: _Walk) -> object:
    try:
        return _data(value, 0, walk)
    except _NotAnswer as refusal:
        sentence = refusal.sentence()
    raise BadAnswer(sentence)


def _text(value: Any, data: object) -> str:
    if data is not ABSENT:
        return str(data)
    kind = type(value)
    if not has_own_text(kind):
        if kind is not dict and issubclass(kind, dict):
            value = dict(value)
        elif issubclass(kind, (*_VIEWS, range, collections.deque)):
            value = [*value]
        elif issubclass(kind, (bytearray, memoryview)):
            value = bytes(value)
        elif issubclass(kind, BaseException):
            value = _exception(value, 0, _Walk())
    return str.__str__(str(value))


def has_own_text(kind: type) -> bool:
    """Whether a cell's code says how values of this type are shown."""
    for base in _MRO(kind):
        defined = _DICT(base)
        function = defined.get("__str__") or defined.get("__repr__")
        if function is not None:
            code = getattr(function, "__code__", None)
            # The text that dataclasses make is made of the fields: as good as the cell's own.
            return type(code) is types.CodeType and (
                code.co_filename.startswith(_CELL_FILE) or "__dataclass_fields__" in defined
            )
    return False


def _data(value: Any, depth: int, walk: _Walk) -> object:
    kind = type(value)
    if kind in SCALARS:
        return value
    refused = _refusal(value, kind)
    if refused is not None:
        raise _NotAnswer(*refused)
    if depth > MAX_DEPTH:
        walk.has_no_data(f"it is nested more than {MAX_DEPTH} deep")
        return None
    if issubclass(kind, enum.Enum):
        walk.shows_data |= depth > 0
        return _data(object.__getattribute__(value, "_value_"), depth + 1, walk)
    if issubclass(kind, tuple(SCALARS - {type(None), bool})):
        return to_scalar(value)
    for types_, convert in _CONVERSIONS:
        if issubclass(kind, types_):
            walk.shows_data |= depth > 0 and kind not in _SHOWN_AS_DATA
            return convert(value, depth, walk)
    return _object(value, kind, depth, walk)


def _refusal(value: object, kind: type) -> tuple[str, str] | None:
    """What the value is and what to do instead, if it cannot be an answer; else None."""
    if value is Ellipsis or value is NotImplemented:
        return f"`{value}`, a placeholder", "give the value itself"
    if issubclass(kind, _CODE):
        return "a function", "call it, and give what it returns"
    if issubclass(kind, _CLASSES):
        return "a class", "give a value"
    if issubclass(kind, types.ModuleType):
        return "a module", "give a value"
    if issubclass(kind, re.Match):
        return "a Match object", "give its text, match.group(), or match.group(1) for a part of it"
    if issubclass(kind, re.Pattern):
        return "a pattern, which has not searched yet", "give what pattern.findall(text) returns"
    if issubclass(kind, concurrent.futures.Future):
        return "a future", "give what its .result() returns"
    if _defines(kind, "__await__"):
        what = "a coroutine" if issubclass(kind, types.CoroutineType) else f"something to await ({type_name(value)})"
        return f"{what}, which has not run", "await it; many at once: `await asyncio.gather(*them)`"
    if _defines(kind, "__anext__"):
        return "an asynchronous generator, which has not run", "give [item async for item in it]"
    if issubclass(kind, io.IOBase):
        return "a file", "give what is in it, .getvalue() or .read()"
    if _defines(kind, "__next__"):
        return f"an iterator ({type_name(value)}), which has not run", "put it into list(...), or join its parts"
    return None


def _defines(kind: type, name: str) -> bool:
    return any(_DICT(base).get(name) is not None for base in _MRO(kind))


def _sequence(value: Any, depth: int, walk: _Walk) -> object:
    kind = type(value)
    if issubclass(kind, list):
        items = [*list.__iter__(value)]
    elif issubclass(kind, tuple):
        items = [*tuple.__iter__(value)]
        names = _fields_of_tuple(kind)
        if len(names) == len(items) > 0:
            return _mapping(dict(zip(names, items, strict=True)), depth, walk)
    elif issubclass(kind, range) and len(value) > walk.items_left:
        walk.count(len(value))
        return None
    else:
        items = [*value]
    return _items(items, depth, walk)


def _items(items: list[Any], depth: int, walk: _Walk) -> object:
    if SCALARS.issuperset(set(map(type, items))):
        return items if walk.count(len(items)) else None
    if not walk.count(len(items)):
        return None
    parts = []
    for number, item in enumerate(items):
        try:
            parts.append(_data(item, depth + 1, walk))
        except _NotAnswer as refusal:
            refusal.path.append(f"[{number}]")
            raise
    return parts


def _fields_of_tuple(kind: type) -> tuple[str, ...]:
    names = next((_DICT(base)["_fields"] for base in _MRO(kind) if "_fields" in _DICT(base)), ())
    return names if type(names) is tuple and all(type(name) is str for name in names) else ()


def _set(value: Any, depth: int, walk: _Walk) -> object:
    items: Any = _items([*value], depth, walk)
    kinds = set(map(type, items or ()))
    if kinds and (kinds == {str} or kinds <= {int, float, bool}):
        items = sorted(items)
    return items


def _mapping(value: Any, depth: int, walk: _Walk) -> object:
    kind = type(value)
    pairs = [*dict.items(value)] if issubclass(kind, dict) else [*value.items()]
    if not walk.count(len(pairs)):
        return None
    entries: dict[object, object] = {}
    for key, item in pairs:
        name = key if type(key) in SCALARS else _key(key, walk)
        try:
            entries[name] = item if type(item) in SCALARS else _data(item, depth + 1, walk)
        except _NotAnswer as refusal:
            refusal.path.append(f"[{name!r:.40}]")
            raise
    try:
        wire.check_keys([*entries])
    except wire.WireError as error:
        walk.has_no_data(str(error))
    return entries


def _key(key: object, walk: _Walk) -> object:
    data = _data(key, MAX_DEPTH, walk)
    if type(data) in SCALARS:
        return data
    walk.has_no_data(f"a key of a dict in it is a {type_name(key)}: a key is a str or a number")
    return None


def _decimal(value: decimal.Decimal, _depth: int, _walk: _Walk) -> object:
    if not value.is_finite():
        return float(value) if not value.is_nan() else float("nan")
    if abs(value.adjusted()) > 300:
        return str(value)
    whole = int(value) if value == value.to_integral_value() else None
    number = float(value)
    return whole if whole is not None else number if decimal.Decimal(repr(number)) == value else str(value)


def _fraction(value: fractions.Fraction, _depth: int, _walk: _Walk) -> object:
    if value.denominator == 1:
        return value.numerator
    try:
        return float(value)
    except OverflowError:
        return str(value)


def _in_text(value: Any, _depth: int, _walk: _Walk) -> object:
    return str.__str__(str(value))


def _exception(value: BaseException, _depth: int, _walk: _Walk) -> object:
    return str.__str__(str(value)) or type_name(value)


def _bytes(value: Any, _depth: int, _walk: _Walk) -> object:
    return bytes(value)


_CONVERSIONS: tuple[tuple[Any, Callable[[Any, int, _Walk], object]], ...] = (
    ((list, tuple, collections.deque, range, *_VIEWS), _sequence),
    (dict, _mapping),
    ((set, frozenset), _set),
    ((bytearray, memoryview), _bytes),
    ((datetime.date, datetime.time), lambda value, _depth, _walk: str.__str__(value.isoformat())),
    (datetime.timedelta, lambda value, _depth, _walk: value.total_seconds()),
    (decimal.Decimal, _decimal),
    (fractions.Fraction, _fraction),
    ((uuid.UUID, complex, pathlib.PurePath, collections.UserString), _in_text),
    (BaseException, _exception),
    (array.array, lambda value, depth, walk: _items(value.tolist(), depth, walk)),
)
_SHOWN_AS_DATA = (list, tuple, dict, set, frozenset)
_METHODS = ("model_dump", "tolist", "to_dict")


def _object(value: Any, kind: type, depth: int, walk: _Walk) -> object:
    """The data of any other object: what its own methods return, or its attributes."""
    if _defines(kind, "__dataclass_fields__"):
        return _mapping({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, depth, walk)
    for name in _METHODS:
        if _defines(kind, name):
            return _data(getattr(value, name)(), depth + 1, walk)
    if issubclass(kind, Mapping):
        return _mapping(dict(value), depth, walk)
    if issubclass(kind, Set):
        return _set(value, depth, walk)
    if issubclass(kind, Sequence):
        return _items([*value], depth, walk)
    attributes = _attributes(value, kind)
    if attributes:
        if not has_own_text(kind) and kind is not types.SimpleNamespace:
            walk.shows_data = True
        return _mapping(attributes, depth, walk)
    if not has_own_text(kind) and _ONLY_AN_ADDRESS.match(repr(value)[:1000]):
        raise _NotAnswer(f"an object ({type_name(value)}) that holds no data", "give the value that you mean")
    walk.shows_data |= depth > 0
    return _in_text(value, depth, walk)


def _attributes(value: object, kind: type) -> dict[str, object]:
    """The public attributes of an object of a class that a cell made, or of a SimpleNamespace."""
    if kind is not types.SimpleNamespace and _DICT(kind).get("__module__") != "__main__":
        return {}
    try:
        own_attributes: Any = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    if type(own_attributes) is not dict:
        return {}
    return {name: item for name, item in own_attributes.items() if type(name) is str and not name.startswith("_")}
