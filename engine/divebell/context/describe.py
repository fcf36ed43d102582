"""What the root model learns of a context before it looks: its shape in a line, and a bounded preview.

Guaranteed: both are bounded, whatever the context holds, and escape names and texts as text.py does: no control
characters, and no line that a hostile text could pass off as the prompt's. Not guaranteed: that the *words* of a text
are harmless. A preview of a hostile context is hostile text; a caller that does not want a model to see it turns it
off. Both follow from the plain data alone, so that a run repeats them from its journal.

Fields, types and roles are those of the first 1,000 records.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from divebell.context.layout import Reference, fields_of, leaves, type_and_length
from divebell.context.texts import read
from divebell.runtime.pages import Region
from divebell.text import clip, printable, quote, quote_some

MAX_DESCRIPTION_CHARACTERS = 1_200
LOOKED_AT_RECORDS = 1_000
_MAX_FIELDS = 12
_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
_PLURAL = {"str": "texts", "bytes": "bytes objects", "dict": "records", "list": "lists"}


def describe(skeleton: Any, region: Region | None) -> str:
    """One line, at most 1,200 characters."""
    type_name, length = type_and_length(skeleton)
    if type_name in ("str", "bytes"):
        line = f"a {type_name} of {length:,} {'characters' if type_name == 'str' else 'bytes'}"
    elif type_name == "list":
        line = _describe_list(skeleton)
    else:
        line = _describe_dict(skeleton)
    return clip(line, MAX_DESCRIPTION_CHARACTERS)


def preview(skeleton: Any, region: Region | None, characters: int) -> str:
    """The beginning, at most `characters` long: of a text itself, of other things as Python writes them."""
    if type_and_length(skeleton)[0] == "str":
        text = printable(_beginning_of(skeleton, region, characters), keep="\n")
    else:
        text = _join(_write_as_python(skeleton, region, characters), characters)
    return clip(text, characters)


def _describe_list(items: list[Any]) -> str:
    if not items:
        return "an empty list"
    kinds = Counter(_type_name(item) for item in items)
    if len(kinds) > 1:
        each = ", ".join(f"{count:,} {name}" for name, count in kinds.most_common(6))
        return f"a list of {len(items):,} items ({each}){_describe_lengths(items)}"
    (name,) = kinds
    if name != "dict":
        return f"a list of {len(items):,} {_PLURAL.get(name, name + ' values')}{_describe_lengths(items)}"
    looked_at = items[:LOOKED_AT_RECORDS]
    roles = Counter(record.get("role") for record in looked_at if isinstance(record.get("role"), str))
    if sum(roles.values()) == len(looked_at) and set(roles) <= _ROLES and all("content" in one for one in looked_at):
        counts = ", ".join(f"{count:,} {role}" for role, count in roles.most_common())
        lengths = _describe_lengths(items)
        return f"a list of {len(items):,} chat messages (dicts with 'role' and 'content'; {counts}){lengths}"
    return f"a list of {len(items):,} records (dicts) with {_describe_fields(looked_at)}{_describe_lengths(items)}"


def _describe_dict(entries: dict[Any, Any]) -> str:
    if not entries:
        return "an empty dict"
    if set(entries) == {"media_type", "data"} and isinstance(entries["media_type"], str):
        size = type_and_length(entries["data"])[1]
        return f"an image: a dict of 'media_type' ({quote(entries['media_type'])}) and 'data' ({size:,} bytes)"
    kinds = Counter(_type_name(value) for value in entries.values())
    keys = quote_some([key if isinstance(key, str) else str(key) for key in entries])
    if len(entries) <= _MAX_FIELDS and len(kinds) > 1:
        return f"a dict with {_describe_fields([entries])}{_describe_lengths(entries.values())}"
    values = ", ".join(_PLURAL.get(name, f"{name} values") for name, _ in kinds.most_common(4))
    return f"a dict of {len(entries):,} entries, keys {keys}, values {values}{_describe_lengths(entries.values())}"


def _describe_fields(records: list[dict[Any, Any]]) -> str:
    """The fields of records with their types, the most frequent first."""
    counts: Counter[Any] = Counter()
    types: dict[Any, dict[str, None]] = {}
    for record in records:
        for key, value in islice(record.items(), 200):
            counts[key] += 1
            types.setdefault(key, {})[_type_name(value)] = None
    parts = [
        f"{quote(key if isinstance(key, str) else str(key), 40)}: {' | '.join(islice(types[key], 3))}"
        + ("" if count == len(records) else f" (in {count:,} of {len(records):,})")
        for key, count in counts.most_common(_MAX_FIELDS)
    ]
    more = f" and {len(counts) - _MAX_FIELDS:,} more" if len(counts) > _MAX_FIELDS else ""
    return f"fields {', '.join(parts)}{more}" if parts else "no fields"


def _describe_lengths(items: Iterable[Any]) -> str:
    """The lengths of the texts in the items, in all; empty if there are no texts."""
    totals = [sum(_text_lengths(item)) for item in items]
    if not any(totals):
        return ""
    longest, median = max(totals), int(statistics.median(totals))
    each = "" if len(totals) == 1 else f" (longest {longest:,}, median {median:,})"
    return f"; {sum(totals):,} characters of text in all{each}"


def _text_lengths(item: Any) -> Iterator[int]:
    for leaf in leaves(item):
        if isinstance(leaf, (str, Reference)):
            name, length = type_and_length(leaf)
            if name == "str":
                yield length


def _type_name(item: Any) -> str:
    return type_and_length(item)[0] if isinstance(item, Reference) else type(item).__name__


def _beginning_of(item: Any, region: Region | None, characters: int) -> Any:
    """The beginning of a text or bytes."""
    if not isinstance(item, Reference):
        return item[:characters]
    assert region is not None
    kind, offset, length = fields_of(item)
    return read(region, offset, kind, min(length, characters))


def _write_as_python(item: Any, region: Region | None, characters: int) -> Iterator[str]:
    """The value as Python writes it, piece by piece, so that only its beginning is made."""
    if isinstance(item, (Reference, str, bytes)):
        text = repr(_beginning_of(item, region, characters))
        yield printable(text)
    elif isinstance(item, list):
        yield "["
        for number, one in enumerate(item):
            yield ", " if number else ""
            yield from _write_as_python(one, region, characters)
        yield "]"
    elif isinstance(item, dict):
        yield "{"
        for number, (key, one) in enumerate(item.items()):
            yield ", " if number else ""
            yield from _write_as_python(key, region, characters)
            yield ": "
            yield from _write_as_python(one, region, characters)
        yield "}"
    else:
        yield repr(item)[: characters + 1]


def _join(pieces: Iterator[str], characters: int) -> str:
    """The first pieces, until there are more characters than that."""
    text: list[str] = []
    length = 0
    for piece in pieces:
        text.append(piece)
        length += len(piece)
        if length > characters:
            break
    return "".join(text)
