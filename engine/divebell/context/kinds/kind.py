"""What a kind of source is: how it is recognised, and how it becomes plain data that guests share.

A kind does not decide what a model reads about the context: that follows from the plain data (describe.py), so that a
journal, which keeps the data, repeats the same words.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from divebell.context.sharing import Notes, Prepared, share_text, share_value
from divebell.errors import ContextError


@dataclass(frozen=True)
class Loaded:
    """Plain data that was read: a str, a list or a dict that nobody else has, and notes on how it was read."""

    value: Any
    notes: Notes = ()

    def share(self) -> Prepared:
        """Ready for guests. A list or dict is emptied by it."""
        if isinstance(self.value, str):
            return share_text(self.value, self.notes)
        return share_value(self.value, self.notes, consume=True)


class ContextKind(ABC):
    """One kind of source that a context can be made of."""

    @abstractmethod
    def takes(self, source: object) -> bool:
        """Whether the source is of this kind: by its type, its name, or what the name leads to. Reads no file."""

    @abstractmethod
    def prepare(self, source: Any, notes: Notes = ()) -> Prepared:
        """The source, ready for guests. ContextError if it cannot be read or shared.

        notes: those of a caller that has read the source itself. A kind that reads its source adds its own.
        """


class PathKind(ContextKind):
    """What a path leads to."""

    @abstractmethod
    def entries(self, path: Path) -> Loaded:
        """What the path adds to a dict by path, where it is one of several. ContextError if that is nothing."""


class FileFormat(PathKind):
    """Files of one format, recognised by their names. With `as_text` they are read as texts instead."""

    suffixes: ClassVar[frozenset[str]]
    """How the names end, in lower case, each with its dot."""

    @abstractmethod
    def load(self, path: Path) -> Loaded:
        """The data in the file, and notes. ContextError if it cannot be read, or is not of this format."""

    def takes(self, source: object) -> bool:
        return isinstance(source, Path) and source.suffix.lower() in self.suffixes

    def prepare(self, source: Path, notes: Notes = ()) -> Prepared:
        return self.load(source).share()

    def entries(self, path: Path) -> Loaded:
        loaded = self.load(path)
        return one_entry(path, loaded)


def one_entry(path: Path, loaded: Loaded) -> Loaded:
    """A file's data by its path. ContextError if there is none in it."""
    if loaded.value in ("", [], {}):
        raise ContextError(f"{path} is empty")
    return Loaded({path.as_posix(): loaded.value}, loaded.notes)
