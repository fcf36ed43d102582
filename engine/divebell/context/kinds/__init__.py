"""The kinds of source that a context can be made of: a file each, and the list of them.

To add one: a file here with a class of ContextKind (FileFormat, where it is a file with a suffix of its own), its place
in KINDS or PATH_KINDS, and its type in SourceData. It results in plain data, so nothing else has to know of it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from divebell.context.kinds.folders import Folder, Pattern
from divebell.context.kinds.images import ImageFile
from divebell.context.kinds.json_files import JsonFile
from divebell.context.kinds.kind import ContextKind, FileFormat, PathKind
from divebell.context.kinds.text_files import TextFile
from divebell.context.kinds.values import Bytes, Container, Text

SourceData = str | bytes | bytearray | memoryview | Sequence[object] | Mapping[Any, object] | Path
"""The types that the kinds take."""

PATH_KINDS: tuple[PathKind, ...] = (Pattern(), Folder(), JsonFile(), ImageFile(), TextFile())
"""In the order in which they are asked. The last one takes every path."""
KINDS: tuple[ContextKind, ...] = (Text(), Bytes(), *PATH_KINDS, Container())


def find_kind(source: object, *, as_text: bool = False) -> ContextKind | None:
    """The kind of a source; None if a context cannot be made of it. as_text: files of any format are texts."""
    return next((kind for kind in KINDS if _may_take(kind, as_text=as_text) and kind.takes(source)), None)


def find_path_kind(path: Path) -> PathKind:
    """What a path leads to."""
    return next(kind for kind in PATH_KINDS if kind.takes(path))


def _may_take(kind: ContextKind, *, as_text: bool) -> bool:
    return not (as_text and isinstance(kind, FileFormat))
