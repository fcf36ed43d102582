"""The listeners that receive a run's events: the application's, a trace file's, a stream's."""

import logging
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from pathlib import Path
from secrets import token_hex

import anyio
import anyio.to_thread

from divebell.errors import ConfigurationError, TraceError
from divebell.events import Event, EventListener
from divebell.models.protocol import Model
from divebell.models.secret_texts import MIN_SECRET_CHARACTERS
from divebell.models.traits import secrets_of
from divebell.trace.schema import TraceDetail
from divebell.trace.writer import TraceWriter

_log = logging.getLogger("divebell.events")


class _GuardedListener:
    """A listener that raises nothing. The first time that the one inside does is logged, with the exception."""

    def __init__(self, listener: EventListener) -> None:
        self._listener = listener
        self._has_failed = False

    def __call__(self, event: Event) -> None:
        try:
            self._listener(event)
        except Exception:
            if not self._has_failed:
                self._has_failed = True
                _log.warning(
                    "run %s: the listener %r failed at the event %r; the run continues, and this is logged once",
                    event.run_id,
                    self._listener,
                    event.kind,
                    exc_info=True,
                )


def guard_listener(listener: EventListener | None) -> EventListener | None:
    """The listener, made so that what it raises breaks nothing; see RLM(on_event=...). ConfigurationError if it
    cannot be called, or would have to be awaited."""
    if listener is not None and not callable(listener):
        raise ConfigurationError(f"on_event must be a function of an Event, not {listener!r:.50}")
    if iscoroutinefunction(listener) or iscoroutinefunction(getattr(listener, "__call__", None)):  # noqa: B004
        raise ConfigurationError(
            "on_event must be a plain function, because nothing awaits an async one: let it queue the event, "
            "or read `async for event in rlm.stream(context, query)`"
        )
    return listener if listener is None or isinstance(listener, _GuardedListener) else _GuardedListener(listener)


def combine_listeners(*listeners: EventListener | None) -> EventListener | None:
    """One listener for several. What one of them raises does not keep the event from the others."""
    guarded = [guard_listener(listener) for listener in listeners if listener is not None]
    if len(guarded) < 2:
        return guarded[0] if guarded else None

    def pass_on(event: Event) -> None:
        for listener in guarded:
            assert listener is not None
            listener(event)

    return pass_on


def collect_secrets(*keys: str | None, models: Iterable[Model] = ()) -> tuple[str, ...]:
    """The keys that must not be in any trace, whoever wrote them: these, the models' and the environment's.
    Anything shorter than MIN_SECRET_CHARACTERS is not a key but a placeholder for endpoints without one ("EMPTY",
    "none"); removing it would remove ordinary words."""
    candidates = (*keys, *secrets_of(models), os.environ.get("OPENAI_API_KEY"))
    return tuple(dict.fromkeys(key for key in candidates if key and len(key) >= MIN_SECRET_CHARACTERS))


class Tracing:
    """Makes a trace file for each run, in a folder. With `level` "off" there are none. `secrets` are removed."""

    def __init__(self, level: TraceDetail, folder: "Path | str", secrets: tuple[str, ...] = ()) -> None:
        if level not in ("full", "redacted", "off"):
            raise ConfigurationError(f"trace must be 'full', 'redacted' or 'off', not {level!r}")
        self._level = level
        if not isinstance(folder, (str, os.PathLike)):
            raise ConfigurationError(f"trace_folder must be the path of a folder, not {folder!r}")
        self._folder = Path(folder)
        self._secrets = secrets

    @asynccontextmanager
    async def open_writer(self, settings: dict[str, object]) -> AsyncIterator[TraceWriter | None]:
        """The writer for one run; None if nothing is traced. TraceError if the file cannot be created.

        A slow disk delays the end of this run, for as long as TraceWriter.close waits; it does not block the event
        loop, where other runs are.
        """
        if self._level == "off":
            yield None
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise TraceError(f"trace_folder {self._folder} cannot be created: {why}") from None
        began = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        path = self._folder / f"{began}-{token_hex(4)}.jsonl"
        writer = TraceWriter(path, level=self._level, settings=settings, secrets=self._secrets)
        try:
            yield writer
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(writer.close)
