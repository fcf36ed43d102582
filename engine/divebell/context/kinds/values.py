"""Sources in memory: a text, bytes, and lists and dicts of plain data."""

from typing import Any

from divebell.context.containers import as_plain, is_container
from divebell.context.kinds.kind import ContextKind
from divebell.context.sharing import Notes, Prepared, share_bytes, share_text, share_value


class Text(ContextKind):
    """A str: always the text itself, never a path."""

    def takes(self, source: object) -> bool:
        return isinstance(source, str)

    def prepare(self, source: str, notes: Notes = ()) -> Prepared:
        return share_text(source, notes)


class Bytes(ContextKind):
    """Bytes, and what shows its bytes."""

    def takes(self, source: object) -> bool:
        return isinstance(source, (bytes, bytearray, memoryview))

    def prepare(self, source: "bytes | bytearray | memoryview", notes: Notes = ()) -> Prepared:
        return share_bytes(bytes(source))


class Container(ContextKind):
    """A list or dict; other sequences and mappings (a tuple, a deque, a mapping proxy) become lists and dicts."""

    def takes(self, source: object) -> bool:
        return is_container(source)

    def prepare(self, source: Any, notes: Notes = ()) -> Prepared:
        plain = source if isinstance(source, (list, tuple, dict)) else as_plain(source)
        return share_text(plain, notes) if isinstance(plain, str) else share_value(plain, notes)
