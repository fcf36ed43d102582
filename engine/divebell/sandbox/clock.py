"""`Clock`: the time that a sandbox's code sees."""

import time

from divebell.runtime.base import CellTime

_SLEEP_SLICE_SECONDS = 0.05
_FIRST_MONOTONIC_NANOSECONDS = 1 << 40
_SEEDED_START_NANOSECONDS = 1_700_000_000 * 10**9
_SEEDED_STEP_NANOSECONDS = 1_000


class Clock:
    """The clock of one sandbox. Real, with a monotonic clock that starts anew and so reveals nothing of the host; or,
    for seeded sandboxes, virtual: it moves by a microsecond with each reading and by what is slept, and repeats from
    run to run."""

    def __init__(self, *, seeded: bool) -> None:
        self._seeded = seeded
        self.virtual_nanoseconds = 0
        self._started = time.monotonic_ns()
        self.cell_time: CellTime | None = None
        """Of the cell that runs: sleeping counts against it."""

    def continue_from(self, other: "Clock") -> None:
        """Show the time that the other clock would show now."""
        self.virtual_nanoseconds = other.virtual_nanoseconds
        self._started = other._started

    def read(self) -> tuple[int, int]:
        """Real and monotonic time in nanoseconds."""
        if not self._seeded:
            return time.time_ns(), time.monotonic_ns() - self._started + _FIRST_MONOTONIC_NANOSECONDS
        self.virtual_nanoseconds += _SEEDED_STEP_NANOSECONDS
        return (
            _SEEDED_START_NANOSECONDS + self.virtual_nanoseconds,
            _FIRST_MONOTONIC_NANOSECONDS + self.virtual_nanoseconds,
        )

    def sleep(self, nanoseconds: int) -> None:
        """Sleep, but never past the cell's deadline. A seeded clock jumps instead."""
        if self._seeded:
            self.virtual_nanoseconds += nanoseconds
        left = nanoseconds / 1e9
        cell_time = self.cell_time
        while left > 0 and cell_time is not None:
            if cell_time.left_seconds <= 0:
                cell_time.interrupt()
                return
            piece = min(left, max(cell_time.left_seconds, 0.001), _SLEEP_SLICE_SECONDS if not self._seeded else left)
            if not self._seeded:
                time.sleep(piece)
            left -= piece
            cell_time.spend(piece)

    def pass_time(self, seconds: float) -> None:
        """Note that a wait for calls has lasted this many seconds. A seeded clock moves by that; otherwise the guest's
        timers would never be due."""
        if self._seeded:
            self.virtual_nanoseconds += int(seconds * 1e9)
