"""The texts of a folder, as a dict of path and text.

A folder may come from a stranger. So symbolic links to folders are never followed, those to files only where the file
lies in the same folder, nothing but regular files is opened, and files, bytes and names are counted against bounds.
Notes say what was left out.

Not guaranteed: anything about a folder that somebody rearranges while it is read.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from divebell.context.decoding import BinaryData
from divebell.context.files import is_folder, open_file
from divebell.context.kinds.kind import Loaded, PathKind
from divebell.context.sharing import Notes, Prepared
from divebell.errors import ContextError
from divebell.text import quote_some

EVERYTHING = "**/*"
MAX_FILES = 10_000
MAX_BYTES = 1 << 30
MAX_NAMES = 1_000_000
"""How many names are read in one folder and those inside it, whether the pattern matches them or not."""
_NOTES_SHOWN = 5
_MAGIC = "*?["


@dataclass(frozen=True)
class Bounds:
    """How much a folder may hold: files that are read, and their bytes."""

    max_files: int = MAX_FILES
    max_bytes: int = MAX_BYTES


class Folder(PathKind):
    """A folder as a dict of its texts by path."""

    def takes(self, source: object) -> bool:
        return isinstance(source, Path) and is_folder(source)

    def prepare(self, source: Path, notes: Notes = ()) -> Prepared:
        return read_folder(source, EVERYTHING, Bounds()).share()

    def entries(self, path: Path) -> Loaded:
        return read_folder(path, EVERYTHING, Bounds(), prefix=f"{path.as_posix()}/")


class Pattern(PathKind):
    """A pattern such as `docs/**/*.md` as a dict of the texts that it names, by path."""

    def takes(self, source: object) -> bool:
        return isinstance(source, Path) and is_glob(str(source))

    def prepare(self, source: Path, notes: Notes = ()) -> Prepared:
        return self.entries(source).share()

    def entries(self, path: Path) -> Loaded:
        return read_glob(str(path), Bounds())


@dataclass
class _LeftOut:
    """What was not read, by reason."""

    hidden: list[str] = field(default_factory=list)
    binary: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def notes(self) -> Iterator[str]:
        reasons = (
            ("hidden file or folder was", "hidden files or folders were", "left out", self.hidden),
            ("binary file was", "binary files were", "left out", self.binary),
            ("symbolic link was", "symbolic links were", "not followed, to a folder or to outside", self.links),
            ("file could", "files could", "not be read", self.unreadable),
        )
        for one, many, what, names in reasons:
            if names:
                yield f"{len(names):,} {one if len(names) == 1 else many} {what}: {quote_some(names)}"


def read_folder(
    root: Path,
    pattern: str,
    bounds: Bounds,
    *,
    on_progress: Callable[[int, int], object] | None = None,
    prefix: str = "",
) -> Loaded:
    """The texts of the files that `pattern` matches, by `prefix` and path, and notes.

    Raises ContextError if there is no such folder, no text in it, or more than the bounds allow.
    """
    if not is_folder(root):
        raise ContextError(f"there is no folder {root}")
    left_out, texts, read_bytes = _LeftOut(), {}, 0
    notes: list[str] = []
    pattern_parts = [part for part in pattern.split("/") if part not in ("", ".")]
    paths = sorted({path for path in _walk(root, pattern_parts, left_out) if _matches(path.split("/"), pattern_parts)})
    if len(paths) > bounds.max_files:
        raise ContextError(
            f"{root} has {len(paths):,} files that match {pattern}, over the limit of {bounds.max_files:,}: "
            "narrow the pattern, or raise max_files"
        )
    for path in paths:
        try:
            with open_file(root / path, follow=False) as file:
                read_bytes += file.size
                if read_bytes > bounds.max_bytes:
                    raise _OverBytes
                texts[prefix + path], file_notes = file.text()
        except _OverBytes:
            raise ContextError(
                f"the files in {root} that match {pattern} have more than {bounds.max_bytes:,} bytes: "
                "narrow the pattern, or raise max_bytes"
            ) from None
        except BinaryData:
            left_out.binary.append(path)
        except ContextError:
            left_out.unreadable.append(path)
        else:
            notes += file_notes
            if on_progress is not None:
                on_progress(len(texts), read_bytes)
    if not texts:
        raise ContextError("; ".join((f"no text in {root} matches {pattern}", *left_out.notes())))
    if len(notes) > _NOTES_SHOWN:
        notes = [*notes[:_NOTES_SHOWN], f"{len(notes) - _NOTES_SHOWN:,} more files were not plain UTF-8 either"]
    return Loaded(texts, (*notes, *left_out.notes()))


class _OverBytes(Exception):
    """The bound on bytes is reached."""


def read_glob(pattern: str, bounds: Bounds, *, on_progress: Callable[[int, int], object] | None = None) -> Loaded:
    """As `read_folder`, of a pattern that begins with the folder: `docs/**/*.md`."""
    parts = pattern.replace(os.sep, "/").split("/")
    fixed = next((number for number, part in enumerate(parts) if set(part) & set(_MAGIC)), len(parts) - 1)
    prefix = "".join(f"{part}/" for part in parts[:fixed])
    return read_folder(Path(prefix or "."), "/".join(parts[fixed:]), bounds, on_progress=on_progress, prefix=prefix)


def is_glob(path: str) -> bool:
    """Whether it can only be meant as a pattern: it has a pattern's characters, and nothing has that name."""
    return bool(set(path) & set(_MAGIC)) and not os.path.lexists(path)


def _walk(root: Path, pattern: list[str], left_out: _LeftOut) -> Iterator[str]:
    """The paths of the regular files in a folder, relative to it, with slashes: only of folders in which the pattern
    may match something."""
    inside = os.path.realpath(root)
    folders, names = [("", _past_folders({0}, pattern))], 0
    while folders:
        folder, places = folders.pop()
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise ContextError(f"cannot read {root}: {error.strerror}") from None
            left_out.unreadable.append(folder)
            continue
        names += len(entries)
        if names > MAX_NAMES:
            raise ContextError(f"{root} holds more than {MAX_NAMES:,} names: name a folder inside it")
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            below = _past_name(places, entry.name, pattern)
            if not below:
                continue
            try:
                if entry.name.startswith("."):
                    left_out.hidden.append(path)
                elif entry.is_symlink():
                    target = _inside(inside, os.path.realpath(entry.path))
                    if target is None:
                        left_out.links.append(path)
                    else:
                        yield target
                elif entry.is_dir():
                    if min(below) < len(pattern):
                        folders.append((path, below))
                elif entry.is_file():
                    yield path
            except OSError:  # gone meanwhile, or nothing that may be looked at: /proc is full of such
                left_out.unreadable.append(path)


def _inside(folder: str, target: str) -> str | None:
    """Where a link's target lies in the folder; None if it lies outside, is hidden there, or is not a file."""
    if not os.path.isfile(target) or not Path(target).is_relative_to(folder):
        return None
    path = Path(target).relative_to(folder)
    return None if any(part.startswith(".") for part in path.parts) else path.as_posix()


def _matches(parts: list[str], pattern: list[str]) -> bool:
    """Whether a path's names match a pattern's: each by fnmatch, and `**` any number of folders."""
    places = _past_folders({0}, pattern)
    for part in parts:
        places = _past_name(places, part, pattern)
    return len(pattern) in places


def _past_name(places: set[int], name: str, pattern: list[str]) -> set[int]:
    """The places in the pattern that are possible after a file's or folder's name, from any of `places`. If there are
    none, neither it nor anything inside it matches."""
    past = {
        place if pattern[place] == "**" else place + 1
        for place in places
        if place < len(pattern) and (pattern[place] == "**" or fnmatchcase(name, pattern[place]))
    }
    return _past_folders(past, pattern)


def _past_folders(places: set[int], pattern: list[str]) -> set[int]:
    """The places, and for each in front of a `**` also the one behind it, because `**` may match no folder."""
    reached = set(places)
    for place in sorted(places):
        while place < len(pattern) and pattern[place] == "**":
            place += 1
            reached.add(place)
    return reached
