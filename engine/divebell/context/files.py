"""One file, read as text or mapped as it is."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from divebell.context import decoding
from divebell.context.layout import check_size
from divebell.context.texts import WIDTH, kind_of, pieces_of
from divebell.errors import ContextError
from divebell.runtime.pages import Region, can_map
from divebell.runtime.sigbus import survive_cut_files
from divebell.text import quote


class OpenFile:
    """A regular file that is open for reading."""

    def __init__(self, descriptor: int, size: int, name: str) -> None:
        self.descriptor = descriptor
        self.size = size
        self.name = name

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        """Its bytes from `start` on, up to the size that it had when it was opened."""
        os.lseek(self.descriptor, start, os.SEEK_SET)
        left = self.size - start
        while left > 0 and (part := os.read(self.descriptor, min(decoding.CHUNK_BYTES, left))):
            left -= len(part)
            yield part

    def slice(self, start: int, end: int) -> bytes:
        """Its bytes from `start` to `end`, or to where it ends."""
        os.lseek(self.descriptor, start, os.SEEK_SET)
        parts, left = [], min(end, self.size) - start
        while left > 0 and (part := os.read(self.descriptor, left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def is_ascii_text(self) -> bool:
        """Whether its bytes are the bytes of a str. Zeros are ASCII, but many of them mean binary data."""
        for number, part in enumerate(self.chunks()):
            if not part.isascii() or (number == 0 and decoding.has_many_zeros(part[: decoding.SAMPLE_BYTES])):
                return False
        return True

    def text(self, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
        """Its text, and notes on how it was read (decoding.py)."""
        pieces, notes = self.pieces(encoding)
        return decoding.join(pieces), notes

    def pieces(self, encoding: str | None = None) -> tuple[Iterator[str], tuple[str, ...]]:
        """The same, piece by piece, to be read while the file is open."""
        chosen = decoding.choose_decoding(self, encoding)
        return self._decode(chosen), chosen.notes

    def _decode(self, chosen: decoding.Decoding) -> Iterator[str]:
        try:
            yield from chosen.pieces(self)
        except UnicodeDecodeError:
            raise self._changed() from None

    def text_region(self, chosen: decoding.Decoding) -> Region:
        """Its text in sealed memory, in the form of `chosen.kind`; there must be some. Beside that memory this needs a
        few megabytes, however long the text is."""
        region = Region(chosen.characters * WIDTH[chosen.kind], "context")
        offset = widest = 0
        try:
            for piece in chosen.pieces(self):
                widest = max(widest, kind_of(piece))
                if widest > chosen.kind or offset + len(piece) * WIDTH[chosen.kind] > region.length:
                    raise self._changed()
                for part in pieces_of(piece, chosen.kind):
                    region.write(offset, part)
                    offset += len(part)
        except UnicodeDecodeError:
            raise self._changed() from None
        if offset != region.length or widest != chosen.kind:
            raise self._changed()
        region.seal()
        return region

    def _changed(self) -> ContextError:
        return ContextError(f"{quote(self.name)} changed while it was read")

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
                raise self._changed()
            region.write(offset, part)
            offset += len(part)
        if offset != self.size:
            raise self._changed()
        region.seal()
        return region


@contextmanager
def open_file(path: "Path | str", *, follow: bool = True) -> Iterator[OpenFile]:
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
