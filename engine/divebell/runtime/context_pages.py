"""The pages of a context that guests share, and how they lie in a guest's linear memory.

Two forms, both of wasm/ABI.md. A whole text or bytes lies from a page boundary on, and the guest writes its header into
the page below. Everything else (documents, records, a part of a text) is a *value*: msgpack in which every long text is
a reference to the shared pages: kind, offset from the first of them, length. The guest builds the value's lists, dicts
and short texts itself, and one header of 32 bytes for each long text, whose characters stay where they are.

Guaranteed: a guest sees of the region only [start, end), and cannot write to it. The whole pages of it are the same
physical pages in every guest. The first and the last page, where what is shared shares them with what is not, are a
copy of the guest's own, with zeros around; CPython wants a zero after each text, and finds it there.

Not shared is the page in front of each bytes (CPython has no form of bytes whose header lies apart): it is left out of
the mapping, for the header. Where a part of a bytes begins inside a page, that page is a copy too, and stays writable:
a guest that forges its memory may change up to a page of its own view there, and nobody else's. Such a page splits the
mapping, and a process may have only so many of them, so the number of shared bytes in one context is bounded
(MAX_SHARED_BYTES_OBJECTS in context/layout.py).
"""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from divebell.runtime.pages import PAGE_BYTES, WASM_PAGE_BYTES, Region, protect_read_only, round_up

BYTES, ASCII, LATIN1, UCS2, UCS4 = range(5)  # wasm/ABI.md, divebell_attach
HEADER_ROOM_BYTES = WASM_PAGE_BYTES  # writable memory below a whole text; its last bytes are the header
BYTES_HEADER_BYTES = 16


@dataclass(frozen=True)
class ContextPages:
    """A context in shared pages: a whole region as one object or, with `packed`, a value with references into it.

    length: bytes of a bytes, characters of a str; without meaning if there is `packed`.
    start, end: the bytes of the region that the guest may see.
    bytes_at: the offsets in the region of the bytes objects there, in order; each has room for its header before it.
    """

    region: Region | None
    kind: int = BYTES
    length: int = 0
    packed: bytes | None = None
    start: int = 0
    end: int = 0
    bytes_at: tuple[int, ...] = ()

    @classmethod
    def whole(cls, region: Region, kind: int, length: int) -> "ContextPages":
        """All of the region as one str or bytes."""
        return cls(region, kind, length, end=region.length)

    @property
    def room_bytes(self) -> int:
        """Writable memory in front of the shared pages: for the header, or for the packed value while it is read."""
        return HEADER_ROOM_BYTES if self.packed is None else round_up(max(len(self.packed), 1))

    @property
    def span_bytes(self) -> int:
        """The size of the context in a guest's addresses: one page more than it holds, for the zeros after its end."""
        mapped = round_up(self.end) - self.first_page
        return round_up(self.room_bytes + mapped + PAGE_BYTES, WASM_PAGE_BYTES)

    @property
    def first_page(self) -> int:
        """The offset in the region of the first page that the guest has: the one with the first bytes' header, if it
        lies before `start`."""
        first = min(self.start, self.bytes_at[0] - BYTES_HEADER_BYTES) if self.bytes_at else self.start
        return first // PAGE_BYTES * PAGE_BYTES

    @property
    def form(self) -> tuple[object, ...]:
        """Distinguishes this context from others that do not fit a state saved with it."""
        packed = sha256(self.packed).digest() if self.packed is not None else None
        return self.kind, self.length, self.start, self.end, packed

    def headers(self, address: int) -> list[tuple[int, int]]:
        """The (offset, length) runs of the headers that lie between shared pages, where these begin at `address`."""
        return [(address - self.first_page + at - BYTES_HEADER_BYTES, BYTES_HEADER_BYTES) for at in self.bytes_at]

    def lay(self, address: int) -> None:
        """Lay the region's visible part at `address`, which is that of `first_page`, into fresh zero memory."""
        region = self.region
        if region is None:
            return
        base = address - self.first_page
        writable = {
            page
            for at in self.bytes_at
            for page in range((at - BYTES_HEADER_BYTES) // PAGE_BYTES * PAGE_BYTES, at, PAGE_BYTES)
        }
        for page in sorted(writable):
            self._copy_page(region, base, page)
        for first, last in _runs_between(self.first_page, round_up(self.end), sorted(writable)):
            self._lay_run(region, base, first, last)

    def _lay_run(self, region: Region, base: int, first: int, last: int) -> None:
        """Pages [first, last) read-only: the whole ones mapped, those at the edges copied."""
        whole_from, whole_to = first, last
        if first < self.start:
            whole_from += PAGE_BYTES
        if last > self.end and self.end < region.length:
            whole_to -= PAGE_BYTES
        if whole_from < whole_to:
            region.lay_read_only(base + whole_from, whole_from, whole_to - whole_from)
        for page in {first, last - PAGE_BYTES}:
            if not whole_from <= page < whole_to:
                self._copy_page(region, base, page)
                protect_read_only(base + page, PAGE_BYTES)

    def _copy_page(self, region: Region, base: int, page: int) -> None:
        start, end = max(page, self.start), min(page + PAGE_BYTES, self.end)
        if start < end:
            data = region.read(start, end - start)
            if data.count(0) != len(data):
                ctypes.memmove(base + start, data, len(data))


def _runs_between(first: int, last: int, left_out: list[int]) -> Iterator[tuple[int, int]]:
    """The runs of pages of [first, last) without those that are left out."""
    for page in left_out:
        if first < page:
            yield first, page
        first = page + PAGE_BYTES
    if first < last:
        yield first, last
