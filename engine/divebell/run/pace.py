"""How much time a run reserves for its last answer: what its slowest root call took, and a margin."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MARGIN = 1.5
"""The last call has a longer prompt than most calls before it, and the machine may be busier."""
FIRST_GUESS_FRACTION = 0.1
MAX_FIRST_GUESS_SECONDS = 30.0
LEAST_SECONDS = 0.5
"""No endpoint answers sooner."""


class Pace:
    """The pace of a run's root calls. `above` is the pace of the run that it is a child of: a child ends before the
    time that its parent needs begins.

    seconds: the budget's; None if it has none. changed: called when the reserve has grown.
    """

    def __init__(self, seconds: float | None, above: "Pace | None" = None) -> None:
        self._seconds = seconds
        self._above = above
        self._slowest_seconds = 0.0
        self._levels: int = 1 if above is None else above._levels + 1
        self.changed: Callable[[], None] = lambda: None

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time a root call. A call that fails or is cancelled counts, too."""
        began = time.monotonic()
        try:
            yield
        finally:
            took = time.monotonic() - began
            if took > self._slowest_seconds:
                self._slowest_seconds = took
                self.changed()

    @property
    def kept_back_seconds(self) -> float:
        """How long before the end of the budget's seconds the turns end, to leave time for the last answer: at most
        half of the seconds for the query's own run, two thirds for a child, three quarters for a child's child."""
        if self._seconds is None:
            return 0.0
        above = 0.0 if self._above is None else self._above.kept_back_seconds
        first_guess = min(self._seconds * FIRST_GUESS_FRACTION, MAX_FIRST_GUESS_SECONDS)
        own = max(self._slowest_seconds * MARGIN, first_guess, LEAST_SECONDS)
        return min(above + own, self._seconds * self._levels / (self._levels + 1))
