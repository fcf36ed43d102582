"""Standard output and standard error as they should fail: an answer that was paid for is not lost to either.

Standard error shows how a run goes. Where nobody reads it any more, or its disk is full, the run goes on without it.
Standard output carries the answer. Where it cannot be written, the answer is kept in a file, and the command fails.
"""

import contextlib
import os
import sys
import tempfile
from typing import TextIO

from divebell.cli.exits import FAILED, USAGE, Exit


class UnfailingStream:
    """A text stream that drops what cannot be written: from the first failure on, everything."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._works = True

    def write(self, text: str) -> int:
        """The number of characters, written or not."""
        if self._works:
            try:
                self._stream.write(text)
            except (OSError, ValueError):  # ValueError: it is closed
                self._give_up()
        return len(text)

    def flush(self) -> None:
        if self._works:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._give_up()

    def writelines(self, lines: "list[str]") -> None:
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        with contextlib.suppress(ValueError):
            return self._works and self._stream.isatty()
        return False

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        return self._stream.encoding

    @property
    def errors(self) -> str | None:
        return self._stream.errors

    def _give_up(self) -> None:
        self._works = False
        write_to_nowhere(self._stream)


def write_to_nowhere(stream: TextIO) -> None:
    """Discard what is still buffered, because Python would report it as the process ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def check_stdout() -> None:
    """Check, before anything is paid for, that there is a standard output. Exit if it is closed."""
    if sys.stdout is None or sys.stdout.closed:
        raise Exit(USAGE, "standard output is closed, and the answer goes there: redirect it into a file")


def print_answer(text: str) -> None:
    """Print the answer on standard output. If that fails, write it to a file, and exit."""
    try:
        print(text)
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        write_to_nowhere(sys.stdout)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Exit(FAILED, f"the answer could not be written to standard output ({reason}): {_save(text)}") from None


def _save(text: str) -> str:
    """Write the answer to a file, in the current folder or in the one for temporary files, and say where it is."""
    for folder in (os.curdir, tempfile.gettempdir()):
        try:
            handle, path = tempfile.mkstemp(".txt", "divebell-answer-", folder)
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text + "\n")
        except OSError:
            continue
        return f"it is in {os.path.relpath(path) if folder == os.curdir else path}"
    return f"nor into a file, so it is here:\n{text}"
