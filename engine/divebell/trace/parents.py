"""Which event belongs to which: a reply to its run, a cell to its reply, calls and children to the cell that made them.

The engine tells events one after another; the tree follows from their order, their path and their kind.
"""

from typing import Any

from divebell.events import Event

MAX_OPEN_RUNS = 100_000


class Parents:
    """Keeps, for each run at work, its latest reply and cell."""

    def __init__(self) -> None:
        self._runs: dict[str, int] = {}
        self._replies: dict[str, int] = {}
        self._codes: dict[str, tuple[int, str]] = {}

    def of(self, event: Event) -> int | None:
        """The parent's id; None for a query's own run."""
        path = event.path
        if event.kind == "run":
            above, _, number = path.rpartition(".")
            return self._inside(above) if number and above else None
        if event.kind in ("reply", "limit", "answer"):
            return self._runs.get(path)
        if event.kind == "code":
            return self._replies.get(path, self._runs.get(path))
        return self._inside(path)

    def _inside(self, path: str) -> int | None:
        """What is at work in that run: its cell, else its reply, else the run itself."""
        code = self._codes.get(path)
        return code[0] if code is not None else self._replies.get(path, self._runs.get(path))

    def without_repetition(self, event: Event) -> dict[str, Any]:
        """The event's data. A finished cell says its code again: that is left out where the beginning was told."""
        code = self._codes.get(event.path)
        if event.kind == "cell" and code is not None and event.data.get("code") is code[1]:
            return {key: value for key, value in event.data.items() if key != "code"}
        return event.data

    def note(self, event: Event, number: int) -> None:
        """The event was written under this id."""
        path = event.path
        if event.kind == "run":
            if len(self._runs) >= MAX_OPEN_RUNS:
                return
            self._runs[path] = number
            self._replies.pop(path, None)
            self._codes.pop(path, None)
        elif event.kind == "reply":
            self._replies[path] = number
            self._codes.pop(path, None)
        elif event.kind == "code":
            self._codes[path] = (number, event.data.get("code", ""))
        elif event.kind == "answer":
            self._runs.pop(path, None)
            self._replies.pop(path, None)
            self._codes.pop(path, None)
