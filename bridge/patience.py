"""Waiting for a ledger that another process is writing to, where nothing else has to go on meanwhile.

On an event loop, engine/loop/calls.py waits without blocking it.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from divebell.bridge.errors import LedgerBusy

PATIENCE_SECONDS = 30.0

_T = TypeVar("_T")


def wait_and_do(operation: Callable[[], _T]) -> _T:
    """The ledger's operation, tried again while it is busy. LedgerBusy if that does not end."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return operation()
        except LedgerBusy:
            if time.monotonic() > until:
                raise
        time.sleep(random.uniform(0.001, 0.02))
