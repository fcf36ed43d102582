"""Waiting for a ledger that another process is writing to, or that cannot be written for a while: without blocking the
event loop, and for a bounded time."""

from collections.abc import Callable
from typing import TypeVar

import anyio

from divebell.errors import LedgerBusyError, LedgerUnavailableError
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.patience import PATIENCE_SECONDS, UNAVAILABLE_PAUSE_SECONDS, backoff_seconds

RECOVER_SECONDS = 2.0
"""After waiting so long for money that others hold, look whether one of them died holding it."""
LEDGER_PATIENCE_SECONDS = PATIENCE_SECONDS
ENDING_PATIENCE_SECONDS = 2.0
"""An answer waits no longer for the ledger, which receives the rest later (money/backlog.py)."""

_T = TypeVar("_T")


async def aretry_while_busy(
    operation: Callable[[], _T], *, also_unavailable: bool = False, seconds: float = LEDGER_PATIENCE_SECONDS
) -> _T:
    """The result of a ledger's operation, retried while another process is writing. LedgerBusyError if that does not
    end.

    also_unavailable: also while it cannot be written for another reason, because a run that was paid for would end.
    """
    for pause in backoff_seconds(min(seconds, LEDGER_PATIENCE_SECONDS)):
        try:
            return operation()
        except LedgerBusyError:
            await anyio.sleep(pause)
        except LedgerUnavailableError:
            if not also_unavailable:
                raise
            await anyio.sleep(UNAVAILABLE_PAUSE_SECONDS)
    return operation()


async def wait_until_written(ledger: Ledger) -> bool:
    """Wait a moment for a busy ledger to take what could not be written yet. Whether it has."""
    for pause in backoff_seconds(ENDING_PATIENCE_SECONDS):
        if not ledger.backlog.is_busy:
            break
        await anyio.sleep(pause)
    return not ledger.backlog
