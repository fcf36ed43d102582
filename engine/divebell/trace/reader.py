"""`read_trace`: a trace file, checked. A trace may come from anywhere, so nothing in it is trusted.

Bounds: the bytes of the file and of a line, the number of events, and how deeply they nest. An error is a TraceError
that names the line. Only a last line without its end may be broken: a crash leaves a file like that.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from divebell.errors import TraceError
from divebell.trace.schema import LEVELS, MAX_LINE_BYTES, SCHEMA, VERSION
from divebell_bridge.money.amounts import MAX_COUNT
from divebell_bridge.money.budget import MAX_SECONDS

MAX_READ_BYTES = 4 << 30
MAX_EVENTS = 1_000_000
MAX_DEPTH = 128
"""Events inside events: 32 levels of children with a run, a turn and a cell each."""
MAX_NESTING = 32
"""Of the data of a line."""
MAX_TURN = 10**6

_KIND = re.compile(r"[a-z_]{1,40}")
_PATH = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,40}")
_DOLLARS = re.compile(r"\d{1,12}(?:\.\d{1,30})?")
_COUNTS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "number", "events", "dropped")
_SECONDS = ("call_seconds", "cell_seconds", "tool_seconds")


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One line. `data` is plain JSON data, checked only where this package relies on it."""

    id: int
    parent: int | None
    kind: str
    path: str
    turn: int
    seconds: float
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A trace as it was read.

    complete: it has the line that a writer writes at its end. torn: its last line was broken off, and is left out.
    dropped: how many events the writer reports as lost.
    """

    divebell: str
    started: str
    level: str
    settings: dict[str, Any]
    events: tuple[TraceEvent, ...]
    complete: bool
    torn: bool
    dropped: int


def read_trace(path: "str | os.PathLike[str]", *, max_events: int = MAX_EVENTS) -> Trace:
    """Read a trace file. Raises TraceError if it cannot be read, is not a trace, or exceeds a bound."""
    try:
        with Path(path).open("rb") as file:
            if file.seekable() and os.fstat(file.fileno()).st_size > MAX_READ_BYTES:
                raise TraceError(f"{path} is larger than {MAX_READ_BYTES:,} bytes, the limit for a trace")
            return _Reading(str(path), max_events).all(file)
    except (OSError, ValueError) as error:
        if isinstance(error, TraceError):
            raise
        raise TraceError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


@dataclass
class _Reading:
    name: str
    max_events: int
    number: int = 0
    torn: bool = False
    depths: dict[int, int] = field(default_factory=dict)

    def all(self, file: BinaryIO) -> Trace:
        entries = self._entries(file)
        header = next(entries, None)
        if header is None:
            raise TraceError(f"{self.name} is empty: a trace begins with a header", line=1)
        self._check_header(header)
        events: list[TraceEvent] = []
        for entry in entries:
            if len(events) >= self.max_events:
                self._refuse(f"there are more than {self.max_events:,} events, the limit for reading")
            events.append(self._event(entry))
        last = events[-1] if events else None
        complete = last is not None and last.kind == "end"
        dropped = sum(event.data.get("events") or 0 for event in events if event.kind == "dropped")
        if last is not None and complete:
            dropped = max(dropped, last.data.get("dropped") or 0)
        return Trace(
            divebell=header["divebell"],
            started=header["started"],
            level=header["level"],
            settings=header["settings"],
            events=tuple(events),
            complete=complete,
            torn=self.torn,
            dropped=dropped,
        )

    def _refuse(self, what: str) -> NoReturn:
        raise TraceError(f"{self.name}, line {self.number}: {what}", line=self.number)

    def _entries(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        total = 0
        while raw := file.readline(MAX_LINE_BYTES + 1):
            self.number += 1
            total += len(raw)
            if len(raw) > MAX_LINE_BYTES or total > MAX_READ_BYTES:
                self._refuse("the line is longer than any line of a trace")
            try:
                entry = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
            except (ValueError, RecursionError) as error:
                if not raw.endswith(b"\n") and self.number > 1:
                    self.torn = True
                    return
                what = "it is nested too deeply" if isinstance(error, RecursionError) else "it is not JSON"
                self._refuse(f"this is not a line of a trace: {what}")
            if not isinstance(entry, dict):
                self._refuse("this is not a line of a trace: it is not a JSON object")
            if not _is_nested_within(entry, MAX_NESTING):
                self._refuse("this is not a line of a trace: it is nested too deeply")
            yield entry

    def _check_header(self, header: Mapping[str, Any]) -> None:
        if header.get("schema") != SCHEMA:
            self._refuse(f'this is not a trace of Divebell: its first line does not say "schema": "{SCHEMA}"')
        version = header.get("version")
        if type(version) is not int or version != VERSION:
            stated = json.dumps(version)[:40]
            self._refuse(
                f"the trace has version {stated}, this Divebell reads version {VERSION}: use the one that wrote it"
            )
        for name in ("divebell", "started"):
            if not isinstance(header.get(name), str) or len(header[name]) > 100:
                self._refuse(f"the header's {name} is not a short text")
        if header.get("level") not in LEVELS:
            self._refuse(f"the header's level is not one of {', '.join(LEVELS)}")
        if not isinstance(header.get("settings"), dict):
            self._refuse("the header's settings are not an object")

    def _event(self, entry: Mapping[str, Any]) -> TraceEvent:
        event_id, parent, data = entry.get("id"), entry.get("parent"), entry.get("data")
        if type(event_id) is not int or not len(self.depths) < event_id <= MAX_COUNT:
            self._refuse("the event's id is not a number above those before it")
        last = next(reversed(self.depths), 0)
        if event_id <= last:
            self._refuse("the event's id is not a number above those before it")
        if parent is not None and (type(parent) is not int or parent not in self.depths):
            self._refuse("the event's parent is not an event before it")
        depth = 0 if parent is None else self.depths[parent] + 1
        if depth > MAX_DEPTH:
            self._refuse(f"events are nested more than {MAX_DEPTH} deep")
        self.depths[event_id] = depth
        kind, path, turn = entry.get("kind"), entry.get("path"), entry.get("turn")
        if not isinstance(kind, str) or not _KIND.fullmatch(kind):
            self._refuse("the event's kind is not a word")
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            self._refuse("the event's path is not like 0.2.1")
        if type(turn) is not int or not 0 <= turn <= MAX_TURN:
            self._refuse("the event's turn is not a number")
        if not isinstance(data, dict):
            self._refuse("the event's data is not an object")
        self._check_data(data)
        return TraceEvent(event_id, parent, kind, path, turn, self._seconds("seconds", entry.get("seconds")), data)

    def _seconds(self, name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_SECONDS:
            self._refuse(f"the event's {name} is not a number of seconds")
        if not math.isfinite(value):
            self._refuse(f"the event's {name} is not a number of seconds")
        return float(value)

    def _check_data(self, data: Mapping[str, Any]) -> None:
        """Check the numbers that the tree adds up."""
        for name in _COUNTS:
            value = data.get(name)
            if value is not None and (type(value) is not int or not 0 <= value <= MAX_COUNT):
                self._refuse(f"the event's {name} is not a whole number")
        for name in _SECONDS:
            if data.get(name) is not None:
                self._seconds(name, data[name])
        cost = data.get("dollars")
        if cost is not None and (not isinstance(cost, str) or not _DOLLARS.fullmatch(cost)):
            self._refuse('the event\'s dollars are not an amount such as "0.0012"')
        if not isinstance(data.get("model") or "", str):
            self._refuse("the event's model is not a name")


def _is_nested_within(value: object, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    inside = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_nested_within(item, levels - 1) for item in inside)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
