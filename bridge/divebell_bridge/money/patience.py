"""Waiting for a ledger that another process is writing to: how long, and how it is done where nothing else must go on.

On an event loop, engine/divebell/calls/metered_calls.py waits as long without blocking it.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from divebell_bridge.money.errors import LedgerBusyError

PATIENCE_SECONDS = 30.0
MONEY_WAIT_SECONDS = 600.0
"""How long a run without a budget of seconds waits for money that others of its tenant hold."""
UNAVAILABLE_PAUSE_SECONDS = 0.25
"""Between tries at a ledger that cannot be written for another reason, such as a full disk."""

_T = TypeVar("_T")


def pauses(patience_seconds: float = PATIENCE_SECONDS) -> Iterator[float]:
    """The seconds to wait after each try that found the ledger busy, until it was long enough. With jitter, so that
    those who wait do not come back together."""
    until = time.monotonic() + patience_seconds
    while time.monotonic() <= until:
        yield random.uniform(0.001, 0.02)


def wait_and_do(operation: Callable[[], _T]) -> _T:
    """The ledger's operation, tried again while it is busy. LedgerBusyError if that does not end."""
    for pause in pauses():
        try:
            return operation()
        except LedgerBusyError:
            time.sleep(pause)
    return operation()
