"""The context: what a run is about, prepared once and shared with every guest that reads it.

Guaranteed: texts and bytes reach a guest without a copy, at any size up to 2 GiB, whether they are the context itself
or lie in its lists, dicts and records; and no guest can change them. They are written once into sealed memory in the
width that CPython itself would use (texts.py), and each sandbox maps those pages read-only
(runtime/context_pages.py). An ASCII or binary file is not even read into memory: its own pages are mapped.

Not guaranteed: that a *mapped file* stays as it is. Whoever may write the file changes it under the guest's eyes, and
if it is cut short, the guest's cell crashes when it reads there (the cell, not the process: runtime/sigbus.py).
`copy=True` reads the file into sealed memory instead. Lists, dicts, numbers and texts under 128 bytes (layout.py) are
carried over by value, into each sandbox: there they are the guest's own, which it may change for itself.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Union

import msgpack

from divebell.context import paths
from divebell.context.describe import describe, preview
from divebell.context.kinds import SourceData, find_kind, folders
from divebell.context.kinds.json_files import JsonFile
from divebell.context.kinds.text_files import read_file
from divebell.context.layout import Reference, fields_of, make_reference, type_and_length
from divebell.context.sharing import Prepared, share_skeleton
from divebell.context.texts import WIDTH, narrowest, read
from divebell.errors import ContextError
from divebell.runtime.context_pages import BYTES
from divebell.runtime.pages import Region

COPIED_BELOW_BYTES = 4096
"""A part of a text that takes less is copied; a mapping would cost more."""

_HASHED_BYTES = 4 << 20

Source = Union[SourceData, "Context"]
"""What a context can be made of; see Context.of. A sequence is any but a str, such as a list or tuple of texts."""


class Context:
    """A prepared context. Make one with `Context.of` to use it for many runs; a run makes its own otherwise.

    type_name: the type that the guest sees: "str", "bytes", "list" or "dict".
    length: `len(context)` there.
    notes: sentences for its user about how it was read (an encoding other than UTF-8, files left out).
    """

    def __init__(self, prepared: Prepared) -> None:
        self._skeleton = prepared.skeleton
        self._region = prepared.region
        self.shared = prepared.pages
        self.notes = prepared.notes
        self.type_name, self.length = type_and_length(prepared.skeleton)

    @property
    def value(self) -> object:
        """What is carried over by value where there is nothing to share: an empty text or bytes."""
        return self._skeleton if self.shared is None else None

    @property
    def shared_bytes(self) -> int:
        """What of it lies in shared pages; the rest is carried over by value."""
        return 0 if self._region is None else self._region.length

    def __repr__(self) -> str:
        how = "by value" if self._region is None else "shared"
        return f"<Context {self.type_name}, length {self.length:,}, {how}>"

    @classmethod
    def of(cls, source: Source, *, as_text: bool = False, notes: tuple[str, ...] = ()) -> "Context":
        """Prepare a context from a str, bytes, list, dict, or from the Path of a file, a folder or a pattern.

        A str is always the text itself, never a path. Other sequences and mappings (a tuple, a deque, a mapping proxy)
        become lists and dicts. A path is read as what it leads to: a folder or a pattern as a dict of texts
        (`from_folder`, `from_glob`), `.json`, `.jsonl` and `.ndjson` as their data (`from_json`), an image as
        `{"media_type": str, "data": bytes}`, and every other file as text. With `as_text`, every file is text.
        `notes` are those of a caller that has read a text, list or dict itself.

        Raises ContextError if it cannot be read or shared.
        """
        if isinstance(source, Context):
            return source
        kind = find_kind(source, as_text=as_text)
        if kind is None:
            raise ContextError(
                f"a context is a str, bytes, list, dict, Path or Context, not {type(source).__name__}; "
                "str(...) or json.loads(...) may make one of it"
            )
        return cls(kind.prepare(source, notes))

    @classmethod
    def from_paths(cls, several: "Sequence[Path | str]") -> "Context":
        """Prepare a context from files, folders and patterns: one as `of` or `from_glob` does, several by their paths.

        Raises ContextError as they do, and if one of several is empty or given twice.
        """
        if not several:
            raise ContextError("there is no context: name a file, a folder or a pattern")
        if len(several) > 1:
            return cls(paths.load_several(Path(path) for path in several).share())
        return cls.of(Path(several[0]))

    @classmethod
    def from_file(
        cls, path: "Path | str", *, binary: bool = False, copy: bool = False, encoding: str | None = None
    ) -> "Context":
        """Prepare a context from a file: a str of its text, or its bytes where `binary`.

        ASCII and binary files are mapped as they are, unless `copy`. Text that is not UTF-8 is read as what it seems to
        be (files.py), and `notes` says as what; `encoding` names it instead. Raises ContextError if the file does not
        exist, is not a regular file, holds binary data where text is expected, or is over 2 GiB.
        """
        return cls(read_file(path, binary=binary, copy=copy, encoding=encoding))

    @classmethod
    def from_folder(
        cls,
        path: "Path | str",
        pattern: str = "**/*",
        *,
        max_files: int = folders.MAX_FILES,
        max_bytes: int = folders.MAX_BYTES,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> "Context":
        """Prepare a context from the texts in a folder: a dict of each file's path in it (with `/`) and text, sorted.

        pattern: which files, as `*`, `?`, `[...]` and, for any number of folders, `**`.
        on_progress: called with the number of files and of bytes read so far.

        Hidden files, binary files and symbolic links that lead outside are left out, and `notes` says how many. Raises
        ContextError if there is no such folder or no text in it, or if it is over `max_files` or `max_bytes`.
        """
        bounds = folders.Bounds(max_files, max_bytes)
        return cls(folders.read_folder(Path(path), pattern, bounds, on_progress=on_progress).share())

    @classmethod
    def from_glob(
        cls,
        pattern: str,
        *,
        max_files: int = folders.MAX_FILES,
        max_bytes: int = folders.MAX_BYTES,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> "Context":
        """Prepare a context from the files that a pattern names, such as `docs/**/*.md`. As `from_folder`, with paths
        as the pattern writes them."""
        bounds = folders.Bounds(max_files, max_bytes)
        return cls(folders.read_glob(pattern, bounds, on_progress=on_progress).share())

    @classmethod
    def from_json(cls, path: "Path | str") -> "Context":
        """Prepare a context from the data in a JSON file, or from the records in a JSON Lines file (`.jsonl`,
        `.ndjson`): a list with one item a line.

        Raises ContextError if it cannot be read, is malformed (with the line), names a key twice, holds a number that
        cannot be carried over, or is over 512 MiB.
        """
        return cls(JsonFile().prepare(Path(path)))

    def part(self, start: int | None = None, end: int | None = None) -> "Context":
        """`context[start:end]` of a str, bytes or list, without a copy where that can be.

        Copied are parts under 4 KiB, parts of a text that fit a narrower form than the whole (ASCII out of a text with
        Chinese in it: CPython would not find the two equal otherwise; but not ASCII out of a Latin-1 text, which is the
        same bytes), and parts of a bytes that do not start at a multiple of 4. Raises ContextError for a dict.
        """
        first, last, _ = slice(start, end).indices(self.length)
        last = max(first, last)
        if (first, last) == (0, self.length):
            return self
        if self.type_name == "dict":
            raise ContextError("a dict has no parts from one place to another: name a key with item(key)")
        if not isinstance(self._skeleton, Reference):
            return self._part(self._skeleton[first:last], self._region)
        assert self._region is not None
        kind, offset, _ = fields_of(self._skeleton)
        at, length = offset + first * WIDTH[kind], last - first
        if length * WIDTH[kind] < COPIED_BELOW_BYTES:
            return self._part(read(self._region, at, kind, length), None)
        narrow = narrowest(self._region, at, kind, length)
        if at % 4 == 0 if kind == BYTES else WIDTH[narrow] == WIDTH[kind]:
            return self._part(make_reference(narrow, at, length), self._region)
        return Context.of(read(self._region, at, kind, length))

    def item(self, key: object) -> "Context":
        """`context[key]` of a list or a dict, without a copy of what is shared in it.

        Raises ContextError if there is no such item, or if it is neither text nor bytes, list or dict.
        """
        if self.type_name not in ("list", "dict"):
            raise ContextError(f"a {self.type_name} has no items: take a part of it with part(start, end)")
        try:
            item = self._skeleton[key]
        except (LookupError, TypeError):
            raise ContextError(f"there is no item {key!r:.100} in the {self.type_name}") from None
        if not isinstance(item, (str, bytes, list, dict, Reference)) or isinstance(key, slice):
            raise ContextError(
                f"the item {key!r:.100} is of type {type(item).__name__}; a context is text, bytes, a list or a dict"
            )
        return self._part(item, self._region)

    @staticmethod
    def _part(skeleton: Any, region: Region | None) -> "Context":
        """A context of its own, on the same pages."""
        return Context(share_skeleton(skeleton, region))

    def digest(self) -> str:
        """A hash of all of it, which distinguishes this context from others."""
        hashed = sha256(msgpack.packb(self._skeleton, unicode_errors="surrogatepass"))
        if self._region is not None:
            for at in range(0, self._region.length, _HASHED_BYTES):
                hashed.update(self._region.read(at, min(_HASHED_BYTES, self._region.length - at)))
        return hashed.hexdigest()

    def copy_out(self) -> object:
        """The context as plain data of the host: what its user passed in, copied out of the shared pages."""
        return _copy_out(self._skeleton, self._region)

    def describe(self) -> str:
        """One line about the context for a model that has not looked at it yet: its type and size; for documents and
        records how many there are, how long, and with which keys or fields. Names are bounded and escaped."""
        return describe(self._skeleton, self._region)

    def preview(self, characters: int = 500) -> str:
        """The beginning of the context as text, at most `characters` long, with all but plain characters escaped."""
        return preview(self._skeleton, self._region, max(characters, 0))


def _copy_out(part: Any, region: Region | None) -> Any:
    if isinstance(part, Reference):
        assert region is not None
        kind, offset, length = fields_of(part)
        return read(region, offset, kind, length)
    if isinstance(part, list):
        return [_copy_out(item, region) for item in part]
    if isinstance(part, dict):
        return {key: _copy_out(item, region) for key, item in part.items()}
    return part
