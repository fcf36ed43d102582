"""Files, which are in memory, below /tmp (c/files.c): hints in errors, and what WASI lacks."""

import errno
import os
import posixpath
from builtins import isinstance, type, vars  # noqa: UP029  (cells may replace them)
from typing import Any

_HINTS = {
    errno.ENOENT: "There are no files here but those that this code wrote, in /tmp, "
    "where os.makedirs makes folders; the input is the variable `context`.",
    errno.EACCES: "Files can be written in /tmp alone; "
    "a name without a folder, such as open('notes.txt', 'w'), is one there.",
    errno.EPERM: "There are no links here: copy the file, as shutil.copy(old, new) does.",
    errno.ENOSPC: "Files are kept in this sandbox's memory: at most 16,384 of them, 64 folders deep, 1 GiB in all, "
    "and no more than the memory that is left; remove what is not needed any more.",
    errno.EFBIG: "A file can have 1 GiB at most, and no more than the memory that is left.",
    errno.EMFILE: "255 files can be open at a time: close each, as `with open(...) as file:` does.",
}


_ERRNO_OF_SQLITE = {"SQLITE_CANTOPEN": errno.ENOENT, "SQLITE_READONLY": errno.EACCES, "SQLITE_FULL": errno.ENOSPC}
"""sqlite3 has error names of its own for what goes wrong with files; these are the ones that they stand for."""

_attributes_of = vars(BaseException)["__dict__"].__get__  # those that were set, without code of the error's class


def hint_of(error: BaseException) -> str | None:
    """A sentence for whoever wrote the code that raised this; None where there is nothing to add."""
    attributes = _attributes_of(error)
    if not isinstance(error, OSError):
        name = attributes.get("sqlite_errorname")
        return _hint(_ERRNO_OF_SQLITE.get(name)) if type(name) is str else None
    reason = attributes.get("reason")  # of a urllib.error.URLError
    return _hint(error.errno) or (_hint(reason.errno) if isinstance(reason, OSError) else None)


def _hint(number: object) -> str | None:
    return _HINTS.get(number) if type(number) is int else None


_original_chdir = os.chdir
_original_open = os.open


def _chdir(path: Any) -> None:
    """Change the current working directory to the specified path."""
    # The C library puts the path behind the folder before, so that ".." would grow into "/tmp/a/.." and stay there
    # when /tmp/a is gone. There are no links here, so what is there has one plain name.
    _original_chdir(path)
    here = os.getcwd()
    plain = "/" + posixpath.normpath(here).lstrip("/")
    if plain != here:
        _original_chdir(plain)


def _open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """Open a file for low level IO. Returns a file descriptor (integer)."""
    # Elsewhere reading is what no flag means; WASI has a bit for it, and refuses a call that has none.
    if isinstance(flags, int) and not flags & os.O_RDWR:
        flags |= os.O_RDONLY
    return _original_open(path, flags, mode, dir_fd=dir_fd)


def _chmod(path: Any, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
    """Nothing, where there is such a file: all that is here may be read, and what is below /tmp written."""
    os.stat(path) if dir_fd is None else os.stat(path, dir_fd=dir_fd)


def install() -> None:
    """Replace the originals by the functions above.

    WASI has no permissions, so CPython's os has no chmod; but shutil and tarfile do not go without.
    """
    if _original_open in os.supports_dir_fd:
        os.supports_dir_fd.add(_open)
    vars(os).update(open=_open, chdir=_chdir, chmod=_chmod, fchmod=_chmod, umask=lambda mask: 0)
