"""Surviving a context file that is cut short while guests have it mapped.

Reading a mapped page beyond a file's end raises SIGBUS. wasmtime turns SIGSEGV inside guest code into a trap, but on
Linux it leaves SIGBUS alone, and its default is the death of the process: whoever may truncate a context file could end
every tenant. wasmtime's handler does the right thing for both signals, so it is installed for SIGBUS too. Outside guest
code it calls the handler that was installed before, as it does for SIGSEGV.
"""

import ctypes
import os
import signal
import sys
import threading

_SIGACTION_BYTES = 256  # more than struct sigaction of any libc
_lock = threading.Lock()
_installed_in: int | None = None


def survive_cut_files() -> bool:
    """Install the handler, once in each process. False where that cannot be done: files are then copied."""
    global _installed_in
    if not sys.platform.startswith("linux"):
        return False
    with _lock:
        if _installed_in == os.getpid():
            return True
        libc = ctypes.CDLL(None, use_errno=True)
        action = ctypes.create_string_buffer(_SIGACTION_BYTES)
        if libc.sigaction(signal.SIGSEGV, None, action) != 0:
            return False
        handler = ctypes.c_void_p.from_buffer(action).value
        if not handler or handler == 1:  # SIG_DFL, SIG_IGN: wasmtime has not installed its handler yet
            return False
        if libc.sigaction(signal.SIGBUS, action, None) != 0:
            return False
        _installed_in = os.getpid()
        return True
