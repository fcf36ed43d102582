"""The command `divebell`: what must be in place before anything of the package is imported.

A package of its own, beside `divebell`, because importing anything inside `divebell` imports all of it, which takes
half a second. In that time Ctrl-C must not print a traceback, and a file that is opened must not get the number of a
standard stream that the caller has closed: what goes to standard error then would be written into that file.
"""

import contextlib
import os
import signal
from types import FrameType

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit."""
    occupy_closed_descriptors()
    catches_ctrl_c = (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )  # a shell may ignore it, as nohup does
    if catches_ctrl_c:
        signal.signal(signal.SIGINT, end_at_once)
    from divebell.cli import main as run

    run(catches_ctrl_c=catches_ctrl_c)


def end_at_once(_signal: int, _frame: FrameType | None) -> None:
    """What Ctrl-C does while there is nothing to clean up: print one line and exit."""
    with contextlib.suppress(OSError):
        os.write(2, b"divebell: interrupted\n")
    os._exit(INTERRUPTED)


def occupy_closed_descriptors() -> None:
    """Put the null device in the place of each standard stream that is closed. `sys.stdout` stays None then."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
