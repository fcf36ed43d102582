"""A bounded queue of events: adding one never waits, and memory stays bounded even if nobody takes any out.

At a bound an event is dropped and counted. Sub-calls and tool calls, of which there are many, are dropped first: the
second half of the room is reserved for the events that give a run its shape.
"""

from collections import deque
from typing import Any, Literal

from divebell.cell import Cell
from divebell.events import CallEnded, Event, ToolEnded

MAX_QUEUED_EVENTS = 20_000
MAX_QUEUED_CHARACTERS = 128 << 20
MANY = (CallEnded, ToolEnded)
"""The events of which a run has many: the first to be dropped."""


def weight(event: Event) -> int:
    """About how many characters the event keeps in memory."""
    return sum(map(_weight, vars(event).values()))


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Cell):
        return len(value.stdout) + len(value.stderr) + len(value.repr or "") + len(value.final or "")
    if isinstance(value, dict):
        return sum(len(item) if isinstance(item, str) else 8 for item in value.values())
    if isinstance(value, (list, tuple)):
        return sum(map(_weight, value))
    return 8


class Buffer:
    """A queue of at most `max_events` events and about `max_characters`. Not thread-safe: its user holds a lock.

    drop: at the bound, "newest" refuses a new event, "oldest" drops those that have waited longest.
    """

    def __init__(
        self,
        *,
        max_events: int = MAX_QUEUED_EVENTS,
        max_characters: int = MAX_QUEUED_CHARACTERS,
        drop: Literal["newest", "oldest"] = "newest",
    ) -> None:
        self._events: deque[tuple[Event, int]] = deque()
        self._max_events = max_events
        self._max_characters = max_characters
        self._drop = drop
        self._characters = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        characters = weight(event)
        if self._drop == "oldest":
            while self._events and self._is_over(len(self._events) + 1, self._characters + characters, 1):
                self.pop()
                self.dropped += 1
        # The other half is reserved for the events of which there are few.
        share = 2 if isinstance(event, MANY) and self._drop == "newest" else 1
        if self._is_over(len(self._events) + 1, self._characters + characters, share):
            self.dropped += 1
            return
        self._events.append((event, characters))
        self._characters += characters

    def _is_over(self, events: int, characters: int, share: int) -> bool:
        return events > max(self._max_events // share, 1) or characters > self._max_characters // share

    def pop(self) -> Event:
        """The event that has waited longest. IndexError if there is none."""
        event, characters = self._events.popleft()
        self._characters -= characters
        return event

    def take(self) -> list[Event]:
        """All events, oldest first."""
        events = [event for event, _ in self._events]
        self._events.clear()
        self._characters = 0
        return events
