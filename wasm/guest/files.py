"""What to say of files: those here are the code's own, in memory, below /tmp (wasm/c/files.c)."""

import errno
import os
from typing import Any

_HINTS = {
    errno.ENOENT: "There are no files here but those that this code wrote, in /tmp; "
    "the input is the variable `context`.",
    errno.EACCES: "Files can be written in /tmp alone; "
    "a name without a folder, such as open('notes.txt', 'w'), is one there.",
    errno.ENOSPC: "Files are kept in this sandbox's memory: at most 16,384 of them, 64 folders deep, 1 GiB in all, "
    "and no more than the memory that is left; remove what is not needed any more.",
    errno.EFBIG: "A file can have 1 GiB at most, and no more than the memory that is left.",
    errno.EMFILE: "255 files can be open at a time: close each, as `with open(...) as file:` does.",
}


def hint_of(error: BaseException) -> str | None:
    """A sentence for whoever wrote the code that raised this; None where there is nothing to add."""
    if not isinstance(error, OSError) or type(error.errno) is not int:
        return None
    return _HINTS.get(error.errno)


def _chmod(path: Any, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
    """Nothing, where there is such a file: all that is here may be read, and what is below /tmp written."""
    os.stat(path) if dir_fd is None else os.stat(path, dir_fd=dir_fd)


def install() -> None:
    """WASI has no permissions, so CPython's os has no chmod; but shutil and tarfile do not go without."""
    vars(os).update(chmod=_chmod, fchmod=_chmod, umask=lambda mask: 0)
