"""How much processor time a thread has used, as seen from any thread.

A cell is bounded by the processor time of the thread that runs its guest, because wall time counts the neighbours' work
too: on a machine that is four times overcommitted, an innocent cell would be ended after a quarter of its limit.

Where a thread's clock cannot be read from another thread (macOS, Windows), or DIVEBELL_WALL_CLOCK=1 is set, the wall
clock stands in for it: `can_read_threads` says which it is.
"""

import os
import threading
import time
from collections.abc import Callable

can_read_threads = hasattr(time, "pthread_getcpuclockid") and os.environ.get("DIVEBELL_WALL_CLOCK") != "1"
"""Whether cells are bounded by processor time here; else by wall time."""

_here = threading.local()  # .clock: the clock of this thread


def _forget_the_parents() -> None:
    """In a forked child the thread is another one to the kernel, and so is its clock."""
    global _here
    _here = threading.local()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents)


def this_threads_clock() -> Callable[[], float]:
    """A function that returns the processor seconds (user and system) that the calling thread has used so far.

    Any thread may call the function as long as this one lives; afterwards it raises OSError.
    """
    try:
        clock: Callable[[], float] = _here.clock
    except AttributeError:
        clock = _here.clock = _make_clock()
    return clock


def _make_clock() -> Callable[[], float]:
    if not can_read_threads:
        return time.monotonic
    clock_id = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock_id)
