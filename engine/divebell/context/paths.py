"""Several paths as one context; and a warning where a text is the name of a file."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from divebell.context.kinds import find_path_kind
from divebell.context.kinds.kind import Loaded
from divebell.errors import ContextError
from divebell.text import quote

MAX_PATH_CHARACTERS = 1_000
_log = logging.getLogger("divebell.context")


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
            quote(source),
        )


def load_several(paths: Iterable[Path]) -> Loaded:
    """A dict by path: of each file its text or data, of each folder and pattern the files in it. Raises ContextError if
    one cannot be read or is empty, or two have the same path."""
    values: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    for path in paths:
        entries = find_path_kind(path).entries(path)
        repeated_paths = values.keys() & entries.value.keys()
        if repeated_paths:
            raise ContextError(f"{min(repeated_paths)} is given twice")
        values |= entries.value
        notes += entries.notes
    return Loaded(values, notes)
