"""Prints what the package logs on standard error: warnings, and what makes a person wait."""

import logging
import sys

WAITS = "divebell.cache"
"""The logger that says at INFO when something takes seconds: compiling the guest, the first time on a machine."""


class _OneLine(logging.Handler):
    """Prints each record as one line on the standard error of the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning" if record.levelno >= logging.WARNING else "note"
        text = " ".join(record.getMessage().split())
        print(f"{kind}: {text}", file=sys.stderr, flush=True)


def show_notices() -> None:
    """From now on, print what the package logs."""
    logger = logging.getLogger("divebell")
    if not any(isinstance(handler, _OneLine) for handler in logger.handlers):
        logger.addHandler(_OneLine())
        logger.propagate = False
    logging.getLogger(WAITS).setLevel(logging.INFO)
