"""`TraceWriter`: a listener that writes the events of a run to a file.

Guaranteed: it never slows a run by more than putting an event into a queue, and never breaks one. If the disk is full
or slow, or the queue is full, events are lost and counted, and a line of kind "dropped" says how many. The file can be
read by this user only (0600), never replaces an existing one, and grows by whole lines; a crash leaves a readable
beginning.

Not guaranteed: that an event is on the disk when the guest sees a result. The journal does that.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from divebell.errors import TraceError
from divebell.events import Event, RunStarted
from divebell.trace.parents import Parents
from divebell.trace.pump import END_SECONDS, Pump
from divebell.trace.schema import MAX_LINE_BYTES, SCHEMA, VERSION, Recorder, TraceDetail, line
from divebell.version import __version__

MAX_FILE_BYTES = 1 << 30
"""Beyond this size bodies are left out; beyond twice this size nothing more is written."""

MAX_WRITE_BYTES = 1 << 18
"""How much is collected for one write."""


class TraceWriter:
    """Writes the trace of one run. Pass it to the RLM as `on_event`, and use it as a context manager around the run.

    path: the file to create; TraceError if it exists or cannot be created.
    level: what is kept of prompts, code, output and replies: "full", "redacted" or "off"; see divebell.trace.schema.
    settings: facts about the run for the header: models' names, budget, seed.
    secrets: strings that must not be in the file, whoever wrote them: the keys that the application uses.

    Thread-safe. Use one file per run: events do not say which of several concurrent runs they belong to.
    """

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        *,
        level: TraceDetail = "full",
        settings: Mapping[str, Any] | None = None,
        secrets: Iterable[str] = (),
        max_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self.path = Path(path)
        self._recorder = Recorder(level, secrets)
        self._parents = Parents()
        self._max_bytes = max_bytes
        self._written_bytes = 0
        self._events = 0
        self._lost = 0
        self._descriptor: int | None = _create(self.path)
        self._pump = Pump(self._write, name="divebell-trace")
        self._put = self._pump.put
        header = {
            "schema": SCHEMA,
            "version": VERSION,
            "divebell": __version__,
            "started": _utc(time.time()),
            "level": level,
            "settings": self._recorder.data({"settings": settings or {}}).get("settings", {}),
        }
        try:
            self._append(line(header))
        except OSError as error:
            os.close(self._descriptor)
            raise TraceError(f"the trace {self.path} cannot be written: {error.strerror or error}") from None

    def __call__(self, event: Event) -> None:
        """Take an event. Returns at once, and never raises."""
        self._put(event)

    @property
    def dropped(self) -> int:
        """How many events are not in the file."""
        return self._pump.dropped + self._lost

    @property
    def problem(self) -> str | None:
        """Why nothing more is written; None while all is well."""
        return self._pump.problem

    def close(self, seconds: float = END_SECONDS) -> None:
        """Write what is queued, for at most `seconds`, and a last line that marks the trace as complete. May be called
        again."""
        if not self._pump.close(seconds):
            return  # the thread still has the file
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            if self.problem is None:
                end = {"events": self._events, "dropped": self.dropped}
                os.write(descriptor, line(self._entry("end", "0", 0, 0.0, None, end)))
        except OSError:
            pass  # a trace without its last line counts as cut off, which is true
        finally:
            os.close(descriptor)

    def __enter__(self) -> "TraceWriter":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, events: list[Event], dropped: int) -> None:
        """Write a batch, in as few writes as MAX_WRITE_BYTES allows. What may not have been written counts as lost."""
        waiting = deque(events)
        lines: list[bytes] = []
        held = 0
        if dropped:
            lines.append(line(self._entry("dropped", "0", 0, 0.0, None, {"events": dropped})))
        try:
            while waiting:
                written = self._lines_of(waiting[0])
                held += len(written)
                lines.append(written)
                waiting.popleft()
                if held > MAX_WRITE_BYTES:
                    self._append(b"".join(lines))
                    lines, held = [], 0
            self._append(b"".join(lines))
        except Exception:
            self._lost += len(waiting) + sum(map(bool, lines))
            raise

    def _lines_of(self, event: Event) -> bytes:
        """The event's line; empty if the file has no room for it."""
        before = b""
        if self._recorder.level != "off" and self._written_bytes > self._max_bytes:
            self._recorder.level = "off"
            before = line(self._entry("bodies_left_out", "0", 0, event.seconds, None, {}))
        own = self._line(event) if self._written_bytes <= 2 * self._max_bytes else b""
        if not 0 < len(own) <= MAX_LINE_BYTES:
            self._lost += 1
            own = b""
        self._written_bytes += len(before) + len(own)
        return before + own

    def _line(self, event: Event) -> bytes:
        parent = self._parents.of(event)
        data = self._recorder.data(self._parents.without_repetition(event))
        if isinstance(event, RunStarted) and parent is None:
            data["started"] = _utc(time.time())
        entry = self._entry(event.kind, event.path, event.turn, event.seconds, parent, data)
        self._parents.note(event, entry["id"])
        return line(entry)

    def _entry(
        self, kind: str, path: str, turn: int, seconds: float, parent: int | None, data: dict[str, Any]
    ) -> dict[str, Any]:
        self._events += 1
        return {
            "id": self._events,
            "parent": parent,
            "kind": kind,
            "path": path,
            "turn": turn,
            "seconds": round(seconds, 6),
            "data": data,
        }

    def _append(self, lines: bytes) -> None:
        assert self._descriptor is not None
        view = memoryview(lines)
        while view:
            view = view[os.write(self._descriptor, view) :]


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        raise TraceError(f"the trace {path} already exists: name another file, or remove it") from None
    except (OSError, ValueError) as error:
        raise TraceError(f"the trace {path} cannot be created: {getattr(error, 'strerror', None) or error}") from None


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
