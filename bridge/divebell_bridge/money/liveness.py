"""Whether a process that shares a ledger is still alive, without heartbeats: it holds a lock on a file of its own.

The operating system lets go of the lock when the process dies, however it dies. Guaranteed: a process that is alive is
never taken for dead, not even from another container on the same machine, where process numbers would mislead. Not
guaranteed: anything between machines; a ledger's file belongs on a local disk (SQLite's WAL needs that too).
And a process whose file was deleted is taken for dead, until it notices and makes another.
"""

import contextlib
import os
import re
from pathlib import Path

from divebell_bridge.money.errors import LedgerError
from divebell_bridge.money.locks import try_lock

_NAME = re.compile(r"[0-9a-f]{1,64}")


def lock_path(ledger: Path, name: str) -> Path:
    """The lock file of the process of that name, beside the ledger. LedgerError if the name could lead to another
    place: whoever wrote it into the ledger, it was not Divebell."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise LedgerError(f"the ledger {ledger} is damaged: it has a process under a name that no ledger gives")
    return ledger.with_name(f"{ledger.name}-worker-{name}")


class ProcessLock:
    """This process's lock on its file, for as long as the process lives or until `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        if not try_lock(self._file):
            os.close(self._file)
            raise OSError(f"{path} is locked by another process")

    def is_in_place(self) -> bool:
        """Whether others can still see it: the file may have been deleted by hand, or by a program that cleans folders
        up."""
        return self._file is not None and is_same_file(self.path, os.fstat(self._file))

    def close(self) -> None:
        """Let go, and remove the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None
            with contextlib.suppress(OSError):
                self.path.unlink()

    def forget(self) -> None:
        """In a forked child: close the copy, which would otherwise keep the parent's lock after the parent's death."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None


def is_alive(path: Path) -> bool:
    """Whether a process holds the lock of that file; False if there is no such file."""
    try:
        file = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # unknown: the money of a living process must not be posted as spent
    try:
        return not try_lock(file)
    finally:
        os.close(file)


def is_same_file(path: Path, seen: os.stat_result) -> bool:
    """Whether the file at `path` is still the one that was seen there."""
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (seen.st_dev, seen.st_ino)
