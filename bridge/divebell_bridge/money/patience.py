"""Waiting for a ledger that another process is writing to: for how long, and by trying again on this thread.

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


def backoff_seconds(patience_seconds: float = PATIENCE_SECONDS) -> Iterator[float]:
    """Backoff delays after each busy attempt, in seconds, until the patience runs out. With jitter, so that waiting
    processes do not retry together."""
    until = time.monotonic() + patience_seconds
    while time.monotonic() <= until:
        yield random.uniform(0.001, 0.02)


def retry_while_busy(operation: Callable[[], _T]) -> _T:
    """Do the ledger's operation, again while the ledger is busy. LedgerBusyError if that does not end."""
    for seconds in backoff_seconds():
        try:
            return operation()
        except LedgerBusyError:
            time.sleep(seconds)
    return operation()
