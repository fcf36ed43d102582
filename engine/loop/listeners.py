"""Who is told of a run's events: the application, a trace file, a stream."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
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


def secrets_known(*given: str | None) -> tuple[str, ...]:
    """The keys that must be in no trace, whoever wrote them there: those that are given, and the environment's."""
    return tuple(key for key in (*given, os.environ.get("OPENAI_API_KEY")) if key)


class Tracing:
    """Makes one trace file a run, in a folder. `level` "off" makes none. `secrets` are in none of them."""

    def __init__(self, level: TraceLevel, folder: "Path | str", secrets: tuple[str, ...] = ()) -> None:
        if level not in ("full", "redacted", "off"):
            raise ConfigurationError(f"trace must be 'full', 'redacted' or 'off', not {level!r}")
        self._level = level
        self._folder = Path(folder)
        self._secrets = secrets

    @contextmanager
    def of_run(self, settings: dict[str, object]) -> Iterator[TraceWriter | None]:
        """The writer for one run, and None where nothing is traced. TraceError if the file cannot be made."""
        if self._level == "off":
            yield None
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        began = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        path = self._folder / f"{began}-{token_hex(4)}.jsonl"
        with TraceWriter(path, level=self._level, settings=settings, secrets=self._secrets) as writer:
            yield writer
