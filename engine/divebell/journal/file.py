"""The file of a journal: lines are appended, by one process at a time, and its owner alone can read it.

Guaranteed: a line that was written survives the death of the process. After a failure nothing more is written, because
an incomplete line would end up in the middle; so the file can be read up to its last complete line. Not guaranteed:
that the last lines survive a power cut; and on Windows, that a second process is kept out.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from divebell.errors import JournalError
from divebell.journal.seals import BEGIN, seal
from divebell_bridge.money import locks

_FLAGS = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)


class JournalFile:
    """An open file, locked. Thread-safe. Open one with the class methods, and close it."""

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
            raise JournalError(f"the file {path} exists already: resume from it, or name another") from None
        except OSError as error:
            raise JournalError(f"cannot write the journal {path}: {error.strerror}") from None
        return cls(path, file)._prepare(None)

    @classmethod
    def begin_anew(cls, path: Path, has_begun: Callable[[], bool]) -> "JournalFile":
        """A file that exists and holds no journal: it is empty, or its header is incomplete. JournalError if another
        process uses it, or has begun a journal in it."""

        def find_end() -> int:
            if has_begun():
                raise JournalError(f"another process has begun the journal {path}: resume from it again")
            return 0

        return cls._open_again(path)._prepare(find_end)

    @classmethod
    def resume(cls, path: Path, read: Callable[[], tuple[int, str | None]]) -> "JournalFile":
        """A file with a journal, to be continued. `read` is called once nobody else can write to the file, and returns
        where its last complete line ends, in bytes, and that line's seal. JournalError if another process uses the
        file."""
        file = cls._open_again(path)

        def find_end() -> int:
            end, file._last_check = read()
            return end

        return file._prepare(find_end)

    @classmethod
    def _open_again(cls, path: Path) -> "JournalFile":
        try:  # without blocking, because opening a pipe would wait for its other end
            return cls(path, os.open(path, _FLAGS | getattr(os, "O_NONBLOCK", 0)))
        except OSError as error:
            raise JournalError(f"cannot resume the journal {path}: {error.strerror}") from None

    def _prepare(self, find_end: Callable[[], int] | None) -> "JournalFile":
        """Lock the file; one that existed is cut off at the end that `find_end` returns, and made private."""
        assert self._file is not None
        try:
            self._take_lock(self._file)
            if find_end is not None:
                os.ftruncate(self._file, find_end())
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
        """Two processes that resume the same journal would pay twice. The lock ends with the process."""
        if locks.IS_ADVISORY and not locks.try_lock(file):  # a lock that keeps readers out would stop a replay
            raise JournalError(f"another process is writing the journal {self._path}: wait until it has ended")

    def append(self, line: bytes) -> None:
        """Write a record's line, with its seal; does nothing once the file is closed. JournalError if it cannot be
        written, or an earlier line could not."""
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
