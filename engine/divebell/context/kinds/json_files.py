"""JSON and JSON Lines as plain data, from files that may be hostile.

Refused with a sentence: text that is not JSON, NaN and infinities (which are not JSON either), an object with the same
key twice (readers differ about which one counts), integers of over 4,300 digits (CPython's own bound; their conversion
takes quadratic time), numbers beyond a float's range, and nesting deeper than can be carried into a sandbox.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from divebell.context.files import open_file
from divebell.context.kinds.kind import FileFormat, Loaded
from divebell.context.sharing import Notes, Prepared
from divebell.errors import ContextError
from divebell.text import quote
from divebell_bridge.door import wire

MAX_JSON_BYTES = 512 << 20
"""Of a JSON file. As Python objects it takes several times that."""
MAX_LINES = 1_000_000
MAX_DIGITS = 4_300
_LINES = frozenset({".jsonl", ".ndjson"})
_NO_BRACKETS = bytes(set(range(128)) - set(b"[]{}"))
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)  # one that is not closed goes to the end
_HINT = "read it as text with Context.of(path, as_text=True)"


class _Refused(ValueError):
    """Raised from inside the JSON parser, for what it would accept."""


class JsonFile(FileFormat):
    """A JSON file as its data; a JSON Lines file as a list with one item a line."""

    suffixes: ClassVar = frozenset({".json"}) | _LINES

    def load(self, path: Path) -> Loaded:
        return read_json(path)

    def prepare(self, source: Path, notes: Notes = ()) -> Prepared:
        loaded = read_json(source)
        if not isinstance(loaded.value, (str, list, dict)):
            what = _name_in_json(loaded.value)
            raise ContextError(f"{source} holds {what}; a context is a text, a list or an object")
        return loaded.share()


def read_json(path: Path) -> Loaded:
    """The data in a file: any JSON value. Raises ContextError as the module says, with the line."""
    name = quote(path.name)
    with open_file(path) as file:
        if file.size > MAX_JSON_BYTES:
            raise ContextError(f"{path} has {file.size:,} bytes, and JSON may have {MAX_JSON_BYTES:,}: {_HINT}")
        if path.suffix.lower() in _LINES:
            pieces, notes = file.pieces()
            records = parse_lines(pieces, name)
            return Loaded(records, (*notes, f"{name} was read as JSON Lines: a list of {len(records):,} records"))
        text, notes = file.text()
    return Loaded(parse(text, name), (*notes, f"{name} was read as JSON"))


def parse_lines(pieces: Iterable[str], name: str) -> list[Any]:
    """The values of JSON Lines, whose text comes in pieces. Empty lines are passed over."""
    values = []
    for number, line in enumerate(_lines_of(pieces), 1):
        if number > MAX_LINES and line:
            raise ContextError(f"{name} has over {MAX_LINES:,} lines, the most that JSON Lines may have: {_HINT}")
        if line.strip():
            values.append(parse(line, name, number))
    return values


def _lines_of(pieces: Iterable[str]) -> Iterator[str]:
    """The lines of a text that is never whole in memory: one character outside of Latin-1 would make it four times as
    long there, while it touches one record only."""
    line_parts: list[str] = []
    for piece in pieces:
        first, *others = piece.split("\n")
        line_parts.append(first)
        for other in others:
            yield "".join(line_parts)
            line_parts = [other]
    yield "".join(line_parts)


def parse(text: str, name: str, line: int | None = None) -> Any:
    """One JSON value. `name` and `line` are what errors call the place."""
    if _nests_too_deep(text):
        raise ContextError(f"{name}{_at(line)} has JSON that nests too deep, or whose brackets do not match; {_HINT}")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_number,
        )
        wire.check_plain(value)
    except json.JSONDecodeError as error:
        where = f"line {line or error.lineno}, column {error.colno}"
        raise ContextError(f"{name} is not JSON at {where}: {error.msg}; {_HINT}") from None
    except (_Refused, wire.WireError) as error:
        raise ContextError(f"{name}{_at(line)} has JSON that cannot be used: {error}; {_HINT}") from None
    return value


def _nests_too_deep(text: str) -> bool:
    """Whether brackets nest deeper than can be carried.

    Before the parser sees them: CPython 3.11 guards its parser with the recursion limit alone, and where an application
    has raised that, a few hundred thousand brackets end the process. Pairs of brackets are taken out from the inside.
    """
    if text.count("[") + text.count("{") <= wire.MAX_DEPTH:
        return False
    brackets = _STRING.sub("", text).encode("ascii", "ignore").translate(None, _NO_BRACKETS)
    for _ in range(wire.MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return len(brackets) > wire.MAX_DEPTH


def _name_in_json(value: object) -> str:
    """What JSON calls a value that is neither a text nor a list nor an object."""
    return {bool: "true or false", type(None): "null"}.get(type(value), "a number")


def _at(line: int | None) -> str:
    return "" if line is None else f", line {line:,},"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        earlier_keys: set[str] = set()
        repeated_key = next(key for key, _ in pairs if key in earlier_keys or earlier_keys.add(key))  # type: ignore[func-returns-value]
        raise _Refused(f"an object has the key {quote(repeated_key)} twice")
    return fields


def _no_constant(constant: str) -> NoReturn:
    raise _Refused(f"{constant} is not a JSON number")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _Refused(f"an integer has {len(digits):,} digits, and may have {MAX_DIGITS:,}")
    return int(digits)


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Refused(f"{text[:40]} is beyond the range of a float")
    return number
