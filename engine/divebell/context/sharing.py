"""From plain data to what guests share: long texts and bytes in sealed memory, everything else by value."""

from dataclasses import dataclass
from typing import Any

from divebell.context.layout import check_size, lay_out, make_pages, make_reference
from divebell.context.texts import WIDTH, kind_of, pieces_of
from divebell.runtime.context_pages import BYTES, ContextPages
from divebell.runtime.pages import Region

Notes = tuple[str, ...]
"""Sentences about how something was read that its user should know."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A context, ready for guests.

    skeleton: str, bytes, list or dict, with references into the region in place of what lies there (layout.py).
    pages: what a guest maps; None if there is nothing to share, for an empty text or bytes.
    region: the sealed memory, if there is any.
    """

    skeleton: Any
    pages: ContextPages | None = None
    region: Region | None = None
    notes: Notes = ()


def share_bytes(data: bytes) -> Prepared:
    """Bytes, in sealed memory."""
    check_size(len(data), "the context")
    if not data:
        return Prepared(skeleton=b"")
    region = Region(len(data), "context")
    region.write(0, data)
    region.seal()
    return share_region(region, BYTES, len(data))


def share_text(text: str, notes: Notes = ()) -> Prepared:
    """A text, in sealed memory in its narrowest form."""
    text = str.__str__(text)
    if not text:
        return Prepared(skeleton="", notes=notes)
    kind = kind_of(text)
    check_size(len(text) * WIDTH[kind], "the context")
    region = Region(len(text) * WIDTH[kind], "context")
    offset = 0
    for piece in pieces_of(text, kind):
        region.write(offset, piece)
        offset += len(piece)
    region.seal()
    return share_region(region, kind, len(text), notes)


def share_region(region: Region, kind: int, length: int, notes: Notes = ()) -> Prepared:
    """All of a region as one text or bytes."""
    pages = ContextPages.whole(region, kind, length)
    return Prepared(skeleton=make_reference(kind, 0, length), pages=pages, region=region, notes=notes)


def share_value(
    value: "list[Any] | tuple[Any, ...] | dict[Any, Any]", notes: Notes = (), *, consume: bool = False
) -> Prepared:
    """A list or dict of plain data. ContextError if it is not plain data.

    consume: nobody else has the value. It is emptied, so that no text is in memory twice for long.
    """
    return share_skeleton(*lay_out(value, consume=consume), notes)


def share_skeleton(skeleton: Any, region: Region | None, notes: Notes = ()) -> Prepared:
    """Something whose long texts, if it has any, lie in `region` already."""
    if isinstance(skeleton, (str, bytes)) and not skeleton:
        return Prepared(skeleton=skeleton)
    pages = make_pages(skeleton, region)
    return Prepared(skeleton=skeleton, pages=pages, region=pages.region, notes=notes)
