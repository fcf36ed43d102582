"""Laying plain data out for sharing: long texts and bytes into one sealed region, everything else into a skeleton.

The skeleton is the value itself with a `Reference` in the place of each long text. It is small, travels by value, and
is what a part of the context is cut from without reading the region. Texts lie in the order in which the value is
walked, so those of any part of it lie side by side.

Sharing starts at 128 bytes, where it begins to pay. Measured over 50,000 texts: a reference takes a guest 0.17 us and
48 bytes of its own; by value, 128 ASCII characters take 0.18 us and 190 bytes, 1,024 take 0.9 us and 1,060 bytes.
"""

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgpack

from divebell.context.containers import as_plain, is_container
from divebell.context.texts import WIDTH, kind_of, pieces_of
from divebell.errors import ContextError
from divebell.runtime.context_pages import BYTES, ContextPages
from divebell.runtime.pages import PAGE_BYTES, Region, round_up
from divebell_bridge.door import wire

MAX_CONTEXT_BYTES = (2 << 30) - (1 << 20)
"""The memory that one context may take. Lengths are 31 bits in the guest's CPython."""
SHARED_FROM_BYTES = 128
"""Texts of at least this size are shared; shorter ones are copied into each sandbox."""
BYTES_SHARED_FROM_BYTES = 16 * PAGE_BYTES
"""The same for bytes, each of which costs every sandbox a page of its own."""
MAX_SHARED_BYTES_OBJECTS = 64
"""How many bytes of one context are shared; later ones are copied. Each splits the mapping of every sandbox in two, and
Linux allows a process 65,530 mappings."""
REFERENCE_CODE = 2  # msgpack's extension type in wasm/ABI.md

_REFERENCE = struct.Struct("<BII")
_WRITTEN_AT_ONCE_BYTES = 1 << 20
_TERMINATOR_BYTES = 4  # zeros after each text; they also keep the next one aligned
_KEYS = (str, bytes, int, float, type(None))
_SCALARS = frozenset({int, float, bool, type(None)})


class Reference(msgpack.ExtType):  # type: ignore[misc]  # msgpack has no types
    """A text or bytes in the region, as the guest gets it: kind, offset and length, packed."""

    __slots__ = ()


def make_reference(kind: int, offset: int, length: int) -> Reference:
    return Reference(REFERENCE_CODE, _REFERENCE.pack(kind, offset, length))


def fields_of(reference: Reference) -> tuple[int, int, int]:
    """Kind, offset and length of a reference."""
    kind, offset, length = _REFERENCE.unpack(reference.data)
    return kind, offset, length


def type_and_length(skeleton: Any) -> tuple[str, int]:
    """What the guest's `type(context).__name__` and `len(context)` will be."""
    if isinstance(skeleton, Reference):
        kind, _, length = fields_of(skeleton)
        return "bytes" if kind == BYTES else "str", length
    return type(skeleton).__name__, len(skeleton)


def check_size(size_bytes: int, what: str) -> None:
    if size_bytes > MAX_CONTEXT_BYTES:
        raise ContextError(
            f"{what} takes {size_bytes / 2**30:.2f} GiB, and one context may take 2 GiB: "
            "split it into parts and ask about each, or give a list of the parts that matter"
        )


class _OtherContainer(Exception):
    """The value holds a sequence or mapping other than a list, tuple or dict."""


class ContextLayout:
    """Collects the long texts of a value, decides where each goes, then writes them all."""

    def __init__(self) -> None:
        self._texts: list[tuple[int, int, str | bytes]] = []
        self._end = 0
        self._shared_bytes = 0

    def skeleton(self, value: Any) -> Any:
        """The value with references in it. Raises ContextError if it is not plain data."""
        if isinstance(value, str):
            return self._text(value if type(value) is str else str.__str__(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(bytes(value))
        if isinstance(value, (list, tuple)):
            return [self.skeleton(item) for item in value]
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, _KEYS):
                    raise ContextError(f"{type(key).__name__} cannot be a key in a context: use str keys")
            return {key: self.skeleton(item) for key, item in value.items()}
        if type(value) not in _SCALARS and is_container(value):
            raise _OtherContainer
        return value

    def _text(self, text: str) -> "str | Reference":
        if len(text) * 4 < SHARED_FROM_BYTES:
            return text
        kind = kind_of(text)
        size = len(text) * WIDTH[kind]
        if size < SHARED_FROM_BYTES:
            return text
        offset = self._end
        self._place(offset, kind, text, size)
        return make_reference(kind, offset, len(text))

    def _bytes(self, data: bytes) -> "bytes | Reference":
        if len(data) < BYTES_SHARED_FROM_BYTES or self._shared_bytes == MAX_SHARED_BYTES_OBJECTS:
            return data
        self._shared_bytes += 1
        offset = round_up(self._end) + PAGE_BYTES
        self._place(offset, BYTES, data, len(data))
        self._end = round_up(self._end)
        return make_reference(BYTES, offset, len(data))

    def _place(self, offset: int, kind: int, data: "str | bytes", size: int) -> None:
        self._texts.append((offset, kind, data))
        self._end = round_up(offset + size + _TERMINATOR_BYTES, _TERMINATOR_BYTES)
        check_size(self._end, "the context")

    def write(self) -> Region | None:
        """The sealed region with all texts in it; None if there is none."""
        if not self._texts:
            return None
        region = Region(self._end, "context")
        pending: list[bytes | memoryview] = []  # short texts are written many at a time
        pending_texts: list[str | bytes] = []  # the texts of these pieces, which are views that do not keep them
        begin = end = 0
        self._texts.reverse()
        while self._texts:  # each is let go as soon as it has been written
            offset, kind, data = self._texts.pop()
            pending_texts.append(data)
            for piece in [data] if isinstance(data, bytes) else pieces_of(data, kind):
                if max(offset - end, end - begin, len(piece)) > _WRITTEN_AT_ONCE_BYTES:
                    _write(region, begin, pending)
                    del pending_texts[:-1]
                    begin = end = offset
                if offset > end:
                    pending.append(bytes(offset - end))
                pending.append(piece)
                end = offset = offset + len(piece)
        _write(region, begin, pending)
        region.seal()
        return region


def _write(region: Region, offset: int, pending: "list[bytes | memoryview]") -> None:
    region.write(offset, pending[0] if len(pending) == 1 else b"".join(pending))
    pending.clear()


def lay_out(value: Any, *, consume: bool = False) -> tuple[Any, Region | None]:
    """The skeleton and the region of plain data. Raises ContextError if it is not plain data.

    consume: the value is a list or dict of the caller's own, which is emptied before its texts are copied, so that they
    are in memory twice only one by one.
    """
    try:
        wire.check_plain(value)
    except wire.WireError as error:
        raise _cannot_be_carried(error) from None
    layout = ContextLayout()
    try:
        skeleton = layout.skeleton(value)
    except _OtherContainer:
        return lay_out(as_plain(value), consume=False)
    if consume:
        value.clear()
    return skeleton, layout.write()


def _cannot_be_carried(error: wire.WireError) -> ContextError:
    hint = "; Context.from_paths(...) reads several paths" if "Path is not plain data" in str(error) else ""
    return ContextError(f"the context cannot be carried into the sandbox: {error}{hint}")


def leaves(skeleton: Any) -> Iterator[Any]:
    """All values in a skeleton that are neither a list nor a dict, in order. Keys are not among them."""
    if isinstance(skeleton, list):
        for item in skeleton:
            yield from leaves(item)
    elif isinstance(skeleton, dict):
        for item in skeleton.values():
            yield from leaves(item)
    else:
        yield skeleton


def make_pages(skeleton: Any, region: Region | None) -> ContextPages:
    """What a guest maps of a skeleton: only what it refers to can be seen of the region."""
    start = end = 0
    bytes_at = []
    references = (leaf for leaf in leaves(skeleton) if isinstance(leaf, Reference))
    for number, reference in enumerate(references):
        kind, offset, length = fields_of(reference)
        start, end = offset if number == 0 else start, offset + length * WIDTH[kind]
        if kind == BYTES:
            bytes_at.append(offset)
    visible = ContextPages(region if end else None, start=start, end=end, bytes_at=tuple(bytes_at))
    if visible.first_page:
        skeleton = _rebase(visible.first_page, skeleton)
    try:
        packed = wire.encode(skeleton, is_plain=True)  # it is; and a look at its parts would refuse the references
    except wire.WireError as error:
        raise _cannot_be_carried(error) from None
    return replace(visible, packed=packed)


def _rebase(first: int, skeleton: Any) -> Any:
    """The skeleton with offsets that count from the first page that a guest has."""
    if isinstance(skeleton, Reference):
        kind, offset, length = fields_of(skeleton)
        return make_reference(kind, offset - first, length)
    if isinstance(skeleton, list):
        return [_rebase(first, item) for item in skeleton]
    if isinstance(skeleton, dict):
        return {key: _rebase(first, item) for key, item in skeleton.items()}
    return skeleton
