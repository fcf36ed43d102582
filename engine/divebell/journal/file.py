"""The file of a journal: whole lines at its end, by one process at a time, for its owner alone.

Guaranteed: a line that was written survives the death of the process. After a failure nothing more is written, or a
broken line would be in the middle; so what there is can be read up to its last whole line. Not guaranteed: that the
last lines survive a power cut; and on Windows, that two processes are told from each other.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from divebell.errors import JournalError
from divebell.journal.seals import BEGIN, seal

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FLAGS = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)


class JournalFile:
    """An open file, locked. Thread-safe. Use the class methods to open one; whoever does closes it."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file: int | None = file
        self._lock = threading.Lock()
        self._failure: JournalError | None = None
        self._last_check: str | None = BEGIN

    @classmethod
    def begin(cls, path: Path) -> "JournalFile":
        """A new file. JournalError if there is one of that name already."""
        try:
            file = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise JournalError(f"there is a file {path} already: resume from it, or name another") from None
        except OSError as error:
            raise JournalError(f"cannot write the journal {path}: {error.strerror}") from None
        return cls(path, file)._prepared(lambda: None)

    @classmethod
    def begin_anew(cls, path: Path, has_begun: Callable[[], bool]) -> "JournalFile":
        """A file that is there and holds no journal: it is empty, or the header that was written last is torn.
        JournalError where another process is at work with it, or has begun one."""

        def keep() -> int:
            if has_begun():
                raise JournalError(f"another process has begun the journal {path}: resume from it again")
            return 0

        return cls._again(path)._prepared(keep)

    @classmethod
    def go_on(cls, path: Path, whole: Callable[[], tuple[int, str | None]]) -> "JournalFile":
        """A file with a journal, to be continued after so many bytes, and after a line with that check; which are asked
        for once nobody else can write to it. JournalError where another process is at work with it."""
        file = cls._again(path)

        def keep() -> int:
            kept_bytes, file._last_check = whole()
            return kept_bytes

        return file._prepared(keep)

    @classmethod
    def _again(cls, path: Path) -> "JournalFile":
        try:  # not blocking, because a pipe of that name would be waited for
            return cls(path, os.open(path, _FLAGS | getattr(os, "O_NONBLOCK", 0)))
        except OSError as error:
            raise JournalError(f"cannot go on in the journal {path}: {error.strerror}") from None

    def _prepared(self, keep: Callable[[], int | None]) -> "JournalFile":
        """Locked, for its owner alone, and cut off after what `keep` says."""
        assert self._file is not None
        try:
            self._take_lock(self._file)
            kept_bytes = keep()
            if kept_bytes is not None:
                os.ftruncate(self._file, kept_bytes)
                if hasattr(os, "fchmod"):
                    os.fchmod(self._file, 0o600)
        except OSError as error:
            self.close()
            raise JournalError(f"cannot write the journal {self._path}: {error.strerror}") from None
        except BaseException:
            self.close()
            raise
        return self

    def _take_lock(self, file: int) -> None:
        """Two processes that write to one journal would pay twice. The lock ends with the process."""
        if fcntl is None:
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise JournalError(
                f"another process is at work with the journal {self._path}: wait until it has ended"
            ) from None

    def append(self, line: bytes) -> None:
        """Write a record's line, with its check. Nothing happens once the file is closed. JournalError where it cannot
        be written, or could not be before."""
        with self._lock:
            if self._file is None:
                return
            if self._failure is not None:
                raise self._failure
            if self._last_check is not None:
                line, self._last_check = seal(line, self._last_check)
            try:
                while line:
                    line = line[os.write(self._file, line) :]
            except OSError as error:
                self._failure = JournalError(f"the journal cannot be written: {error.strerror}")
                raise self._failure from None

    def close(self) -> None:
        """Give the file back, and the lock with it."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
