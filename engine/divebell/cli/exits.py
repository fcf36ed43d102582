"""How commands end: one clear sentence on stderr, and an exit status.

0: done. 1: the run or the code failed. 2: the command cannot be carried out (a file, an option, a key).
3: the budget did not allow more. 130: Ctrl-C.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from divebell.cli.wording import use_option_names
from divebell.errors import (
    BudgetExceeded,
    ConfigurationError,
    ContextError,
    DivebellError,
    JournalError,
    ReplayDivergedError,
    TraceError,
)

FAILED, USAGE, BUDGET, INTERRUPTED = 1, 2, 3, 130


class Exit(Exception):
    """Ends the command with a status and, if not empty, a sentence on stderr."""

    def __init__(self, status: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.status = status


def status_of(error: BaseException) -> int:
    """The exit status for an error of Divebell."""
    if isinstance(error, BudgetExceeded):
        return BUDGET
    if isinstance(error, ReplayDivergedError):
        return FAILED
    if isinstance(error, (ConfigurationError, ContextError, JournalError, TraceError)):
        return USAGE
    return FAILED


@contextmanager
def clean_exit() -> Iterator[None]:
    """Turn errors into a sentence and a status. A defect in Divebell still shows its traceback."""
    try:
        yield
    except Exit as done:
        if str(done):
            print(f"divebell: {done}", file=sys.stderr)
        raise SystemExit(done.status) from None
    except DivebellError as error:
        print(f"divebell: {use_option_names(' '.join(str(error).split()))}", file=sys.stderr)
        raise SystemExit(status_of(error)) from None
    except KeyboardInterrupt:
        print("divebell: interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:  # whoever reads standard output has left
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(FAILED) from None
