"""One file, read as text or mapped as it is."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from divebell.context import decoding
from divebell.context.escape import shown
from divebell.context.layout import check_size
from divebell.errors import ContextError
from divebell.runtime.pages import Region, can_map
from divebell.runtime.signals import survive_cut_files

_CHUNK_BYTES = 4 << 20


class OpenFile:
    """A regular file that is open for reading."""

    def __init__(self, descriptor: int, size: int, name: str) -> None:
        self.descriptor = descriptor
        self.size = size
        self.name = name

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, up to the size that it had when it was opened."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        left = self.size
        while left and (part := os.read(self.descriptor, min(_CHUNK_BYTES, left))):
            left -= len(part)
            yield part

    def is_ascii_text(self) -> bool:
        """Whether its bytes are a str as they are. Zeros are ASCII, but not many of them."""
        for number, part in enumerate(self.chunks()):
            if not part.isascii() or (number == 0 and decoding.has_many_zeros(part[: decoding.SAMPLE_BYTES])):
                return False
        return True

    def read(self) -> bytes:
        """All that it held when it was opened."""
        return b"".join(self.chunks())

    def text(self, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
        """Its text and what to know of how it was read: decoding.py."""
        return decoding.decode(self.read(), self.name, encoding)

    def region(self, *, copy: bool, ascii_only: bool) -> Region | None:
        """Its bytes: its own pages, or a copy in sealed memory. None for an empty file."""
        if self.size == 0:
            return None
        if can_map() and not copy and survive_cut_files():
            return Region.of_file(os.dup(self.descriptor), self.size)
        region = Region(self.size, "context")
        offset = 0
        for part in self.chunks():
            if ascii_only and not part.isascii():
                raise ContextError(f"{shown(self.name)} changed while it was read")
            region.write(offset, part)
            offset += len(part)
        if offset != self.size:
            raise ContextError(f"{shown(self.name)} changed while it was read")
        region.seal()
        return region


@contextmanager
def opened(path: "Path | str", *, follow: bool = True) -> Iterator[OpenFile]:
    """The file, open. Raises ContextError if it cannot be opened or is not a regular file, or with `follow` off is a
    symbolic link."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ContextError(f"cannot read {path}: {reason}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ContextError(f"{path} is not a regular file")
        check_size(status.st_size, str(path))
        yield OpenFile(descriptor, status.st_size, Path(path).name)
    finally:
        os.close(descriptor)


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
