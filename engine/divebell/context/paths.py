"""What is behind a path, chosen by what it is: a folder's texts, JSON's data, an image, a text."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from divebell.context import folders, images, structured
from divebell.context.files import is_folder, opened
from divebell.errors import ContextError
from divebell.text import shown

MAX_PATH_CHARACTERS = 1_000
_log = logging.getLogger("divebell.context")

_Loaded = tuple[Any, tuple[str, ...]]  # the value, and notes on how it was read


def warn_if_a_path(source: object) -> None:
    """Log a WARNING where a str that is to be the context is the path of something that exists: it is taken as text.

    For what an application gives only: a guest's texts must look up nothing on the host.
    """
    if not isinstance(source, str) or not 0 < len(source) <= MAX_PATH_CHARACTERS or not source.isprintable():
        return
    is_word = not {"/", os.sep, "."}.intersection(source)  # which a folder may have for its name by chance
    if os.path.isfile(source) or (not is_word and os.path.isdir(source)):
        _log.warning(
            "the context is the text %s itself, and there is a file or folder of that name: "
            "to read it, give pathlib.Path(...)",
            shown(source),
        )


def load_special(path: Path) -> _Loaded | None:
    """The data of a folder, of JSON or of an image; None for everything else, which is text. Raises ContextError."""
    if is_folder(path):
        return folders.read_folder(path, "**/*", folders.Bounds())
    if structured.is_json(path):
        return structured.read_json(path)
    if images.media_type_of(path) is not None:
        return images.read_image(path), ()
    return None


def load_text(path: Path) -> _Loaded:
    with opened(path) as file:
        return file.text()


def load_several(paths: Iterable[Path]) -> _Loaded:
    """A dict by path: of each file its text or data, of each folder and pattern the files in it. Raises ContextError if
    one cannot be read or is empty, or two have the same path."""
    found: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    for path in paths:
        name = path.as_posix()
        if folders.is_glob(str(path)):
            value, said = folders.read_glob(str(path), folders.Bounds())
        elif is_folder(path):
            value, said = folders.read_folder(path, "**/*", folders.Bounds(), prefix=f"{name}/")
        else:
            content, said = load_special(path) or load_text(path)
            if content in ("", [], {}):
                raise ContextError(f"{path} is empty")
            value = {name: content}
        twice = found.keys() & value.keys()
        if twice:
            raise ContextError(f"{min(twice)} is given twice")
        found |= value
        notes += said
    return found, notes
