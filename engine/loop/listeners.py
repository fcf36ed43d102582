"""Who is told of a run's events: the application, a trace file, a stream."""

import contextlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from divebell.errors import ConfigurationError
from divebell.events import Event, EventListener
from divebell.trace.writer import TraceWriter

TraceLevel = Literal["full", "redacted", "off"]


def told_all(*listeners: EventListener | None) -> EventListener | None:
    """One listener for several. What one of them raises does not keep the event from the others."""
    wanted = [listener for listener in listeners if listener is not None]
    if len(wanted) < 2:
        return wanted[0] if wanted else None

    def tell(event: Event) -> None:
        for listener in wanted:
            with contextlib.suppress(Exception):
                listener(event)

    return tell


class Tracing:
    """Makes one trace file a run, in a folder. `level` "off" makes none."""

    def __init__(self, level: TraceLevel, folder: "Path | str") -> None:
        if level not in ("full", "redacted", "off"):
            raise ConfigurationError(f"trace must be 'full', 'redacted' or 'off', not {level!r}")
        self._level = level
        self._folder = Path(folder)

    @contextmanager
    def of_run(self, settings: dict[str, object]) -> Iterator[TraceWriter | None]:
        """The writer for one run, and None where nothing is traced. TraceError if the file cannot be made."""
        if self._level == "off":
            yield None
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        began = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        path = self._folder / f"{began}-{secrets.token_hex(4)}.jsonl"
        with TraceWriter(path, level=self._level, settings=settings) as writer:
            yield writer
