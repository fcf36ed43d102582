"""How CPython keeps a str: in 1, 2 or 4 bytes a character, whichever its widest needs, on the host and in the guest.

`kind`, a number from wasm/ABI.md, says which form it is. Strings of different kinds are never equal
to CPython, so everything here uses the narrowest that fits, also for a part of a text.
"""

import ctypes
from collections.abc import Iterator

from divebell.runtime.context_pages import ASCII, BYTES, LATIN1, UCS2, UCS4
from divebell.runtime.pages import Region

WIDTH = {BYTES: 1, ASCII: 1, LATIN1: 1, UCS2: 2, UCS4: 4}
CHUNK_CHARACTERS = 1 << 20

_ENCODING = {LATIN1: "latin-1", UCS2: "utf-16-le", UCS4: "utf-32-le"}


def kind_of(text: str) -> int:
    """The narrowest of CPython's forms that holds the text."""
    if text.isascii():
        return ASCII
    kind = LATIN1
    for at in range(0, len(text), CHUNK_CHARACTERS):
        chunk = text[at : at + CHUNK_CHARACTERS]
        if kind == LATIN1 and not chunk.isascii():
            try:
                chunk.encode("latin-1")
            except UnicodeEncodeError:
                kind = UCS2
        if kind == UCS2 and len(chunk.encode("utf-16-le", "surrogatepass")) > 2 * len(chunk):
            return UCS4
    return kind


def pieces_of(text: str, kind: int) -> Iterator["bytes | memoryview"]:
    """The text in that form, piece by piece."""
    if kind == ASCII:
        yield _ascii_view(text)
        return
    for at in range(0, len(text), CHUNK_CHARACTERS):
        chunk = text[at : at + CHUNK_CHARACTERS]
        yield chunk.encode("latin-1") if kind == LATIN1 else chunk.encode(_ENCODING[kind], "surrogatepass")


def decode(data: bytes, kind: int) -> str:
    """The text of bytes in that form."""
    if kind == UCS4:
        return data.decode("utf-32-le", "surrogatepass")
    if kind != UCS2:
        return data.decode("latin-1")
    # Not by UTF-16, which would make one character of two lone surrogates that stand side by side.
    wide = bytearray(2 * len(data))
    wide[0::4], wide[1::4] = data[0::2], data[1::2]
    return wide.decode("utf-32-le", "surrogatepass")


def read(region: Region, offset: int, kind: int, length: int) -> "str | bytes":
    """A text or bytes of a region, as the host's own."""
    data = region.read(offset, length * WIDTH[kind])
    return data if kind == BYTES else decode(data, kind)


def narrowest(region: Region, offset: int, kind: int, length: int) -> int:
    """The narrowest kind for the `length` characters at `offset`, which are kept as `kind`."""
    if kind in (BYTES, ASCII):
        return kind
    narrow = ASCII
    width = WIDTH[kind]
    for at in range(0, length, CHUNK_CHARACTERS):
        data = region.read(offset + at * width, min(CHUNK_CHARACTERS, length - at) * width)
        narrow = max(narrow, _narrowest_of(data, kind))
        if narrow == kind:
            break
    return narrow


def _narrowest_of(data: bytes, kind: int) -> int:
    if kind == UCS4 and (_has_nonzero(data[2::4]) or _has_nonzero(data[3::4])):
        return UCS4
    if kind != LATIN1 and _has_nonzero(data[1 :: WIDTH[kind]]):
        return UCS2
    return ASCII if data[:: WIDTH[kind]].isascii() else LATIN1


def _has_nonzero(data: bytes) -> bool:
    return data.count(0) != len(data)


def _ascii_view(text: str) -> memoryview:
    """The characters of an ASCII str where CPython keeps them, so that they are copied once and not twice."""
    as_utf8 = ctypes.pythonapi.PyUnicode_AsUTF8AndSize
    as_utf8.restype = ctypes.c_void_p
    as_utf8.argtypes = [ctypes.py_object, ctypes.POINTER(ctypes.c_ssize_t)]
    size = ctypes.c_ssize_t()
    address = as_utf8(text, ctypes.byref(size))
    assert size.value == len(text)
    return memoryview((ctypes.c_char * size.value).from_address(address)).cast("B")
