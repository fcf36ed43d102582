"""The context: what a run is about, prepared once and shared with every guest that reads it.

Guaranteed: `str`, `bytes` and files reach a guest without a copy, at any size up to 2 GiB, and no guest can change
them. The text is written once into sealed memory in the width that CPython itself would use (1, 2 or 4 bytes a
character), and each sandbox maps those pages read-only. An ASCII or binary file is not even read into memory: its own
pages are mapped.

Not guaranteed: that a *mapped file* stays as it is. Whoever may write the file changes it under the guest's eyes, and
if it is cut short, the guest's cell crashes when it reads there (the cell, not the process: signals.py). `copy=True`
reads the file into sealed memory instead. Lists and dicts are carried over by value, into each sandbox.
"""

import ctypes
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Union

from divebell.bridge import wire
from divebell.errors import ContextError
from divebell.runtime.instance import SharedContext
from divebell.runtime.pages import Region, can_map
from divebell.runtime.signals import survive_cut_files

MAX_CONTEXT_BYTES = (2 << 30) - (1 << 20)
"""What one context may take in memory. CPython's lengths are 31 bits in the guest."""

_BYTES, _ASCII, _LATIN1, _UCS2, _UCS4 = range(5)  # wasm/ABI.md, divebell_attach
_WIDTH = {_ASCII: 1, _LATIN1: 1, _UCS2: 2, _UCS4: 4}
_ENCODING = {_LATIN1: "latin-1", _UCS2: "utf-16-le", _UCS4: "utf-32-le"}
_CHUNK_CHARACTERS = 1 << 20
_CHUNK_BYTES = 4 << 20

Source = Union[str, bytes, list[object], dict[str, object], Path, "Context"]


class Context:
    """A prepared context. Make one with `Context.of` to use it for many runs; a run makes its own otherwise.

    `type_name` is the type that the guest sees: "str", "bytes", "list" or "dict". `length` is `len(context)` there.
    """

    def __init__(self, type_name: str, length: int, shared: SharedContext | None, value: object = None) -> None:
        self.type_name = type_name
        self.length = length
        self.shared = shared
        self.value = value  # carried over by value where nothing is shared

    def __repr__(self) -> str:
        how = "shared" if self.shared is not None else "by value"
        return f"<Context {self.type_name}, length {self.length:,}, {how}>"

    @classmethod
    def of(cls, source: Source) -> "Context":
        """Prepare a context from a str, bytes, list, dict or the Path of a text file. ContextError if it cannot be."""
        if isinstance(source, Context):
            return source
        if isinstance(source, Path):
            return cls.from_file(source)
        if isinstance(source, str):
            return cls._of_text(source)
        if isinstance(source, (bytes, bytearray, memoryview)):
            return cls._of_bytes(bytes(source))
        if isinstance(source, (list, tuple, dict)):
            return cls._of_value(source)
        raise ContextError(
            f"a context is a str, bytes, list, dict, Path or Context, not {type(source).__name__}; "
            "str(...) or json.loads(...) may make one of it"
        )

    @classmethod
    def from_file(cls, path: "Path | str", *, binary: bool = False, copy: bool = False) -> "Context":
        """Prepare a context from a file: a str of its UTF-8 text, or its bytes where `binary`.

        ASCII and binary files are mapped as they are, unless `copy`. Raises ContextError if the file does not exist, is
        not a regular file, is not UTF-8, or is over 2 GiB.
        """
        try:
            file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
        except (OSError, ValueError) as error:  # ValueError: a name with a null byte
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ContextError(f"cannot read {path}: {reason}") from None
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise ContextError(f"{path} is not a regular file")
            _check_size(status.st_size, str(path))
            if binary or _is_ascii(file):
                return cls._of_file(file, status.st_size, _BYTES if binary else _ASCII, copy)
            return cls._of_text(_decode(file, path))
        finally:
            os.close(file)

    @classmethod
    def _of_file(cls, file: int, size: int, kind: int, copy: bool) -> "Context":
        type_name = "bytes" if kind == _BYTES else "str"
        if size == 0:
            return cls(type_name, 0, None, b"" if kind == _BYTES else "")
        if can_map() and not copy and survive_cut_files():
            return cls(type_name, size, SharedContext(Region.of_file(os.dup(file), size), kind, size))
        region = Region(size, "context")
        os.lseek(file, 0, os.SEEK_SET)
        offset = 0
        while offset < size and (part := os.read(file, min(_CHUNK_BYTES, size - offset))):
            if kind == _ASCII and not part.isascii():
                raise ContextError("the file changed while it was read")
            region.write(offset, part)
            offset += len(part)
        if offset != size:
            raise ContextError("the file changed while it was read")
        region.seal()
        return cls(type_name, size, SharedContext(region, kind, size))

    @classmethod
    def _of_bytes(cls, data: bytes) -> "Context":
        _check_size(len(data), "the context")
        if not data:
            return cls("bytes", 0, None, b"")
        region = Region(len(data), "context")
        region.write(0, data)
        region.seal()
        return cls("bytes", len(data), SharedContext(region, _BYTES, len(data)))

    @classmethod
    def _of_text(cls, text: str) -> "Context":
        text = str(text) if type(text) is not str else text
        if not text:
            return cls("str", 0, None, "")
        kind = _kind_of(text)
        _check_size(len(text) * _WIDTH[kind], "the context")
        region = Region(len(text) * _WIDTH[kind], "context")
        offset = 0
        for piece in [_ascii_view(text)] if kind == _ASCII else _encoded(text, kind):
            region.write(offset, piece)
            offset += len(piece)
        region.seal()
        return cls("str", len(text), SharedContext(region, kind, len(text)))

    @classmethod
    def _of_value(cls, value: "list[object] | tuple[object, ...] | dict[str, object]") -> "Context":
        plain = list(value) if isinstance(value, tuple) else value
        try:
            wire.encode(plain)
        except wire.WireError as error:
            raise ContextError(f"the context cannot be carried into the sandbox: {error}") from None
        return cls("dict" if isinstance(plain, dict) else "list", len(plain), None, plain)


def _check_size(size_bytes: int, what: str) -> None:
    if size_bytes > MAX_CONTEXT_BYTES:
        raise ContextError(
            f"{what} takes {size_bytes / 2**30:.2f} GiB, and one context may take 2 GiB: "
            "split it into parts and ask about each, or give a list of the parts that matter"
        )


def _is_ascii(file: int) -> bool:
    os.lseek(file, 0, os.SEEK_SET)
    while part := os.read(file, _CHUNK_BYTES):
        if not part.isascii():
            return False
    return True


def _decode(file: int, path: "Path | str") -> str:
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as reader:
        data = reader.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"byte {error.start:,} is 0x{data[error.start]:02x}"
        raise ContextError(f"{path} is not UTF-8 text ({where}): convert it, or read it as bytes") from None


def _kind_of(text: str) -> int:
    """The narrowest of CPython's forms that holds the text; the guest's CPython compares strings by form."""
    if text.isascii():
        return _ASCII
    kind = _LATIN1
    for at in range(0, len(text), _CHUNK_CHARACTERS):
        chunk = text[at : at + _CHUNK_CHARACTERS]
        if kind == _LATIN1 and not chunk.isascii():
            try:
                chunk.encode("latin-1")
            except UnicodeEncodeError:
                kind = _UCS2
        if kind == _UCS2 and len(chunk.encode("utf-16-le", "surrogatepass")) > 2 * len(chunk):
            return _UCS4
    return kind


def _encoded(text: str, kind: int) -> Iterator[bytes]:
    for at in range(0, len(text), _CHUNK_CHARACTERS):
        chunk = text[at : at + _CHUNK_CHARACTERS]
        yield chunk.encode("latin-1") if kind == _LATIN1 else chunk.encode(_ENCODING[kind], "surrogatepass")


def _ascii_view(text: str) -> memoryview:
    """The characters of an ASCII str where CPython keeps them, so that they are copied once and not twice."""
    as_utf8 = ctypes.pythonapi.PyUnicode_AsUTF8AndSize
    as_utf8.restype = ctypes.c_void_p
    as_utf8.argtypes = [ctypes.py_object, ctypes.POINTER(ctypes.c_ssize_t)]
    size = ctypes.c_ssize_t()
    address = as_utf8(text, ctypes.byref(size))
    assert size.value == len(text)
    return memoryview((ctypes.c_char * size.value).from_address(address)).cast("B")
