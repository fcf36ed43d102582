"""Which event belongs to which: a reply to its run, a cell to its reply, calls and children to the cell that made them.

The engine reports events one after another; the tree follows from their order, their path and their kind.
"""

from typing import Any

from divebell.events import CellEnded, CellStarted, Event, LimitReached, RootReplied, RunEnded, RunStarted

MAX_OPEN_RUNS = 100_000


class Parents:
    """Keeps the latest reply and cell of each run in progress."""

    def __init__(self) -> None:
        self._runs: dict[str, int] = {}
        self._replies: dict[str, int] = {}
        self._codes: dict[str, tuple[int, str]] = {}

    def of(self, event: Event) -> int | None:
        """The parent's id; None for a query's own run."""
        path = event.path
        match event:
            case RunStarted():
                above, _, number = path.rpartition(".")
                return self._inside(above) if number and above else None
            case RootReplied() | LimitReached() | RunEnded():
                return self._runs.get(path)
            case CellStarted():
                return self._replies.get(path, self._runs.get(path))
            case _:
                return self._inside(path)

    def _inside(self, path: str) -> int | None:
        """The latest of that run: its cell, else its reply, else the run itself."""
        code = self._codes.get(path)
        return code[0] if code is not None else self._replies.get(path, self._runs.get(path))

    def without_repetition(self, event: Event) -> dict[str, Any]:
        """The event's record. A finished cell has its code again: that is left out where its beginning was written."""
        record = event.to_record()
        code = self._codes.get(event.path)
        if isinstance(event, CellEnded) and code is not None and event.code is code[1]:
            del record["code"]
        return record

    def note(self, event: Event, number: int) -> None:
        """The event was written under this id."""
        path = event.path
        match event:
            case RunStarted():
                if len(self._runs) < MAX_OPEN_RUNS:
                    self._runs[path] = number
                    self._replies.pop(path, None)
                    self._codes.pop(path, None)
            case RootReplied():
                self._replies[path] = number
                self._codes.pop(path, None)
            case CellStarted():
                self._codes[path] = (number, event.code)
            case RunEnded():
                self._runs.pop(path, None)
                self._replies.pop(path, None)
                self._codes.pop(path, None)
