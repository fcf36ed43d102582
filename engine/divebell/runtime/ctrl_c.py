"""Ctrl-C while a guest runs on the main thread.

CPython runs signal handlers between bytecodes of the main thread. While a guest runs there are none, and the next one
is the first of the door's callback, before any `try` of ours: a KeyboardInterrupt raised there is dropped by ctypes. So
for the time that the guest runs, the handler only takes note and cancels the cell, and the exception is raised
afterwards. While the host answers the guest, and the application's own functions run, Ctrl-C works as ever.

The same holds wherever objects of wasmtime's are made, given back or booted: `without_ctrl_c`. An exception between two
lines of its bindings would free something twice, or be dropped in a callback, and the process would crash.

An application that has a SIGINT handler of its own keeps it.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

# The functions under signal's own, which spend microseconds on making enumerations of their results.
_get: Callable[[int], Any] = getattr(signal.getsignal, "__wrapped__", signal.getsignal)
_set: Callable[[int, Any], Any] = getattr(signal.signal, "__wrapped__", signal.signal)


class CtrlC:
    """Defers KeyboardInterrupt for one call into a guest. Does nothing on other threads."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._applies = threading.get_ident() == threading.main_thread().ident
        self.was_pressed = False

    def defer(self) -> None:
        """From now on, only note that Ctrl-C came."""
        if self._is_here() and _get(signal.SIGINT) is signal.default_int_handler:
            _set(signal.SIGINT, self._note)

    def restore(self) -> None:
        """From now on, raise KeyboardInterrupt, as Python does."""
        # Each access makes a new bound method, so they are compared by ==.
        if self._is_here() and _get(signal.SIGINT) == self._note:
            _set(signal.SIGINT, signal.default_int_handler)

    def _is_here(self) -> bool:
        """The guest of a nested sandbox runs, and calls the door, on a thread of its own."""
        return self._applies and threading.get_ident() == threading.main_thread().ident

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self.was_pressed = True
        self._cancel()


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """A short block in which Ctrl-C raises nothing; KeyboardInterrupt is raised after it."""
    ctrl_c = CtrlC(lambda: None)
    ctrl_c.defer()
    try:
        yield
    finally:
        ctrl_c.restore()
        if ctrl_c.was_pressed:
            raise KeyboardInterrupt


Result = TypeVar("Result")


def abandon_at_ctrl_c(function: Callable[[], Result]) -> Result:
    """Call a function that takes seconds. If Ctrl-C comes meanwhile, it is raised at once; the function continues on
    a thread of its own, and its result is dropped."""
    if threading.get_ident() != threading.main_thread().ident:
        return function()
    results: list[Result] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=run, name="divebell-compile", daemon=True).start()
    done.wait()
    if errors:
        raise errors[0]
    return results[0]
