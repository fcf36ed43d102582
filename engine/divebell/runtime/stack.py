"""Enough host stack for the guest.

Wasm frames live on the stack of the thread that calls in, and the guest may use WASM_STACK_BYTES of it before wasmtime
stops it with a trap. A thread with less than that would overflow its own stack first, and take the process with it. So
a guest runs on the caller's thread only where that is known to have room, and on a thread of our own otherwise: threads
with small stacks (musl, macOS, `threading.stack_size`), platforms where the size cannot be asked for, and a sandbox
that is used inside the door function of another.
"""

import _thread
import ctypes
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

from divebell.runtime.native import WASM_STACK_BYTES

Result = TypeVar("Result")

# What the host's own frames may need, above the guest's and below them (the door function).
HOST_MARGIN_BYTES = 3 << 20
_THREAD_STACK_BYTES = 2 * WASM_STACK_BYTES + HOST_MARGIN_BYTES

_here = threading.local()  # .has_room: bool; .inside: a guest runs on this thread
_stack_size_lock = threading.Lock()


def stack_bytes() -> int:
    """The size of this thread's stack; 0 where it is not known."""
    if not sys.platform.startswith("linux"):
        return 0
    libc: Any = ctypes.CDLL(None)
    if not hasattr(libc, "pthread_getattr_np"):
        return 0
    libc.pthread_self.restype = ctypes.c_void_p
    attributes = ctypes.create_string_buffer(256)
    lowest, size = ctypes.c_void_p(), ctypes.c_size_t()
    if libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attributes) != 0:
        return 0
    libc.pthread_attr_getstack(attributes, ctypes.byref(lowest), ctypes.byref(size))
    libc.pthread_attr_destroy(attributes)
    return size.value


def _has_room() -> bool:
    try:
        return bool(_here.has_room)
    except AttributeError:
        _here.has_room = stack_bytes() >= WASM_STACK_BYTES + HOST_MARGIN_BYTES
        return bool(_here.has_room)


def with_guest_stack(function: Callable[[], Result], cancel: Callable[[], None]) -> Result:
    """Call `function`, which runs a guest, on a thread whose stack is deep enough.

    It never returns before the guest has stopped: where Ctrl-C comes meanwhile, `cancel` ends it first.
    """
    if not getattr(_here, "inside", False) and _has_room():
        _here.inside = True
        try:
            return function()
        finally:
            _here.inside = False
    return _on_own_thread(function, cancel)


def _on_own_thread(function: Callable[[], Result], cancel: Callable[[], None]) -> Result:
    results: list[Result] = []
    errors: list[BaseException] = []
    # Whoever takes the claim first decides whether the function runs: Ctrl-C may come at any line of this thread, also
    # when the other has been started and before this one has noted that it was.
    claim, finished = threading.Lock(), threading.Event()

    def run() -> None:
        if not claim.acquire(blocking=False):
            return
        _here.has_room = True
        try:
            results.append(with_guest_stack(function, cancel))
        except BaseException as error:
            errors.append(error)
        finally:
            finished.set()

    interruption: BaseException | None = None
    try:
        with _stack_size_lock:
            before = threading.stack_size(_THREAD_STACK_BYTES)
            try:
                _thread.start_new_thread(copy_context().run, (run,))
            finally:
                threading.stack_size(before)
    except BaseException as raised:
        if claim.acquire(blocking=False):
            raise
        interruption = raised
        cancel()
    while not finished.is_set():
        try:
            finished.wait()
        except BaseException as raised:
            interruption = raised
            cancel()
    if interruption is not None:
        raise interruption
    if errors:
        raise errors[0]
    return results[0]
