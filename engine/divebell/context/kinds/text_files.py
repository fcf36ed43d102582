"""A file as its text, whatever its encoding; or as its bytes."""

from pathlib import Path

from divebell.context import decoding
from divebell.context.files import open_file
from divebell.context.kinds.kind import Loaded, PathKind, one_entry
from divebell.context.layout import check_size
from divebell.context.sharing import Notes, Prepared, share_bytes, share_region, share_text
from divebell.context.texts import WIDTH
from divebell.runtime.context_pages import ASCII, BYTES


class TextFile(PathKind):
    """Any file that is of no other kind. ASCII is mapped as it is; anything else is decoded (decoding.py)."""

    def takes(self, source: object) -> bool:
        return isinstance(source, Path)

    def prepare(self, source: Path, notes: Notes = ()) -> Prepared:
        return read_file(source)

    def entries(self, path: Path) -> Loaded:
        with open_file(path) as file:
            return one_entry(path, Loaded(*file.text()))


def read_file(path: "Path | str", *, binary: bool = False, copy: bool = False, encoding: str | None = None) -> Prepared:
    """A file's text, or its bytes where `binary`; see Context.from_file."""
    with open_file(path) as file:
        check_size(file.size, str(path))
        if binary or (encoding is None and file.is_ascii_text()):
            region = file.region(copy=copy, ascii_only=not binary)
            if region is None:
                return share_bytes(b"") if binary else share_text("")
            return share_region(region, BYTES if binary else ASCII, file.size)
        chosen = decoding.choose_decoding(file, encoding)
        if chosen.characters == 0:
            return share_text("", chosen.notes)
        check_size(chosen.characters * WIDTH[chosen.kind], str(path))
        return share_region(file.text_region(chosen), chosen.kind, chosen.characters, chosen.notes)
