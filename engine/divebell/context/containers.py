"""Sequences and mappings of other kinds than list, tuple and dict (deques, mapping proxies, an application's own), as
lists and dicts."""

from collections import UserString
from collections.abc import Mapping, Sequence
from typing import Any

from divebell.errors import ContextError
from divebell_bridge.door import wire

_TEXTS = (str, bytes, bytearray, memoryview)


def is_container(value: object) -> bool:
    """Whether it holds items, a text or bytes not counted."""
    return isinstance(value, (Mapping, Sequence)) and not isinstance(value, _TEXTS)


def as_plain(value: Any, nesting: int = 0) -> Any:
    """The value with every container in it a list or a dict. ContextError if it is too large or nests too deep."""
    if nesting > wire.MAX_DEPTH:
        raise ContextError(f"the context cannot be carried into the sandbox: nested more than {wire.MAX_DEPTH} deep")
    if isinstance(value, UserString):
        return str(value)
    if not is_container(value):
        return value
    if len(value) > wire.MAX_ITEMS:
        raise ContextError(f"a {type(value).__name__} of {len(value):,} items is over the limit of {wire.MAX_ITEMS:,}")
    if isinstance(value, Mapping):
        return {key: as_plain(item, nesting + 1) for key, item in value.items()}
    return [as_plain(item, nesting + 1) for item in value]
