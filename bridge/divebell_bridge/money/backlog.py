"""The writes to a ledger that failed for now: the ends of holds and of accounts, which are kept and tried again.

When a disk is full for a moment, or another program keeps the file locked, no answer that was paid for may be lost, and
no money may stay set aside until this process ends.

Guaranteed: entries are written in the order in which they came, and before this process sets anything new aside: by a
thread of the backlog's own if the process does nothing more, and at the latest when the ledger is closed or the process
exits. A ledger that cannot be written sets nothing aside, so the backlog never has more entries than there were holds
and accounts open when that began. What a process still kept when it died is posted as all that a dead process leaves
(Ledger.recover): calls in full.

Not guaranteed: an entry that the ledger refuses for good, because it was closed or its file is damaged, is logged and
dropped.
"""

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from divebell_bridge.money.errors import LedgerBusyError, LedgerError, LedgerUnavailableError

FIRST_RETRY_SECONDS = 0.05
MAX_RETRY_SECONDS = 15.0
MAX_BUSY_RETRY_SECONDS = 0.5
"""Where the only reason is that another process is writing."""
WARN_AFTER_SECONDS = 2.0
"""How long nothing is logged, where the only reason is that another process is writing."""
LAST_SECONDS = 5.0
"""How long a process that exits, or closes its ledger, tries to write what it keeps."""

_log = logging.getLogger("divebell.ledger")
_T = TypeVar("_T")


@dataclass(slots=True)
class _Entry:
    description: str
    operation: Callable[[], object]
    since: float = field(default_factory=time.monotonic)
    is_logged: bool = False


class Backlog:
    """The backlog of one ledger. Thread-safe. Must not be called with the ledger's own lock held."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._entries: deque[_Entry] = deque()
        self._thread: threading.Thread | None = None
        self._failure: LedgerUnavailableError | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_busy(self) -> bool:
        """Whether it waits only for another process that is writing just now."""
        return bool(self._entries) and isinstance(self._failure, LedgerBusyError)

    def run_or_keep(self, description: str, operation: Callable[[], _T]) -> _T | None:
        """Do the operation now, after all that is kept; or keep it for later, and return None. LedgerError if the
        ledger refuses it for good.

        description: names it in the log.
        """
        with self._lock:
            try:
                self.catch_up()
                return operation()
            except LedgerUnavailableError as error:
                self._failure = error
                self._entries.append(_Entry(description, operation))
                self._warn()
                self._start_thread()
                return None

    def catch_up(self) -> None:
        """Write what is kept. LedgerUnavailableError if that is not possible yet."""
        if not self._entries:
            return
        with self._lock:
            while self._entries:
                entry = self._entries[0]
                try:
                    entry.operation()
                except LedgerUnavailableError as error:
                    self._failure = error
                    raise
                except LedgerError as error:
                    _log.error("%s was refused, and is not tried again: %s", entry.description, error)
                else:
                    if entry.is_logged:
                        _log.warning("%s is written now", entry.description)
                self._entries.popleft()

    def finish_all(self, seconds: float = LAST_SECONDS) -> None:
        """Try for that long to write everything: after that there is no other chance."""
        until = time.monotonic() + seconds
        while self._entries:
            try:
                self.catch_up()
            except LedgerUnavailableError as error:
                if time.monotonic() > until:
                    _log.error(
                        "%d entries of the ledger could not be written: whoever opens it next posts what they leave "
                        "open as spent, in full: %s", len(self._entries), error,
                    )  # fmt: skip
                    return
                time.sleep(FIRST_RETRY_SECONDS)

    def forget(self) -> None:
        """Drop everything, in a forked child: its parent writes what is kept."""
        self.__init__()  # type: ignore[misc]  # a thread that is not here may have held the lock

    def _warn(self) -> None:
        for entry in self._entries:
            if entry.is_logged or (self.is_busy and time.monotonic() - entry.since < WARN_AFTER_SECONDS):
                continue
            entry.is_logged = True
            _log.warning("%s could not be written, and is tried again: %s", entry.description, self._failure)

    def _start_thread(self) -> None:
        """The lock is held."""
        if self._thread is None:
            atexit.register(self.finish_all)
            self._thread = threading.Thread(
                target=self._retry_until_written, name="divebell-ledger-backlog", daemon=True
            )
            self._thread.start()

    def _retry_until_written(self) -> None:
        pause = FIRST_RETRY_SECONDS
        while True:
            time.sleep(pause)
            with self._lock:
                try:
                    self.catch_up()
                except LedgerUnavailableError:
                    self._warn()
                    pause = min(pause * 2, MAX_BUSY_RETRY_SECONDS if self.is_busy else MAX_RETRY_SECONDS)
                    continue
                self._thread = None
                atexit.unregister(self.finish_all)
                return
