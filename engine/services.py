"""What stands behind a plain sandbox's door: the application's own `llm` function, a clock, and sleep.

A run of an RLM has richer services (loop/services.py); both share the clock.
"""

import asyncio
import copy
import inspect
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from divebell.bridge import wire
from divebell.bridge.door import Outcome, Refused
from divebell.runtime.watchdog import Guard

MAX_THREADS = 16  # that call a plain `llm` function at once
_SLEEP_SLICE_SECONDS = 0.05
_FIRST_MONOTONIC_NANOSECONDS = 1 << 40
_SEEDED_START_NANOSECONDS = 1_700_000_000 * 10**9
_SEEDED_STEP_NANOSECONDS = 1_000


class Clock:
    """The guest's time. Real, with a monotonic clock that starts anew and so tells nothing of the host; or, for seeded
    sandboxes, virtual: it moves by a microsecond a reading and by what is slept, and repeats from run to run."""

    def __init__(self, *, seeded: bool) -> None:
        self._seeded = seeded
        self.virtual_nanoseconds = 0
        self._started = time.monotonic_ns()
        self.guard: Guard | None = None
        """Of the instance whose cell runs: sleeping counts against its time."""

    def twin(self) -> "Clock":
        """For a fork: the same services, with a clock of its own that goes on from here."""
        twin = copy.copy(self)
        twin.guard = None
        return twin

    def clock(self) -> tuple[int, int]:
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
        guard = self.guard
        while left > 0 and guard is not None:
            if guard.soft_left_seconds <= 0:
                guard.interrupt()
                return
            piece = min(left, max(guard.soft_left_seconds, 0.001), _SLEEP_SLICE_SECONDS if not self._seeded else left)
            if not self._seeded:
                time.sleep(piece)
            left -= piece
            guard.spend(piece)


class CallableServices(Clock):
    """Answers llm_query with a function of the application's."""

    def __init__(self, llm: Callable[..., Any] | None, *, seeded: bool = False) -> None:
        super().__init__(seeded=seeded)
        self._llm = llm
        self._model_parameter = _model_parameter(llm) if llm is not None else ""
        self._is_async = inspect.iscoroutinefunction(llm) or inspect.iscoroutinefunction(
            getattr(llm, "__call__", None)  # noqa: B004  (an object whose call is async)
        )

    def query(self, prompts: list[str], model: str | None) -> list[Outcome]:
        if self._llm is None:
            raise Refused(wire.UNAVAILABLE, "this sandbox has no language model: give it one with Sandbox(llm=...)")
        if self._is_async:
            return _run_async(self._gather, prompts, model)
        if len(prompts) == 1:
            return [self._call(prompts[0], model)]
        with ThreadPoolExecutor(min(MAX_THREADS, max(len(prompts), 1)), "divebell-llm") as pool:
            # Each in a copy of this context, which knows that it is inside this sandbox's cell (sandbox.py).
            calls = [pool.submit(copy_context().run, self._call, prompt, model) for prompt in prompts]
            return [call.result() for call in calls]

    def _ask(self, prompt: str, model: str | None) -> Any:
        assert self._llm is not None
        if self._model_parameter == "":
            return self._llm(prompt)
        return self._llm(prompt, model) if self._model_parameter is None else self._llm(prompt, model=model)

    def _call(self, prompt: str, model: str | None) -> Outcome:
        try:
            return _reply(self._ask(prompt, model))
        except Exception as error:
            return _failed(error)

    async def _gather(self, prompts: list[str], model: str | None) -> list[Outcome]:
        places = asyncio.Semaphore(MAX_THREADS * 4)

        async def one(prompt: str) -> Outcome:
            async with places:
                try:
                    return _reply(await self._ask(prompt, model))
                except Exception as error:
                    return _failed(error)

        return list(await asyncio.gather(*map(one, prompts)))

    def child(self, prompts: list[str], contexts: list[object], model: str | None) -> list[Outcome]:
        raise Refused(wire.UNAVAILABLE, "a plain sandbox has no child RLMs; llm_query is there")

    def budget(self) -> dict[str, object]:
        return {"dollars": None, "tokens": None, "calls": None, "seconds": None, "depth": 0}


def _model_parameter(llm: Callable[..., Any]) -> str | None:
    """How the function takes the model's name: "" not at all, "model" by that name, None as its second argument."""
    try:
        parameters = list(inspect.signature(llm).parameters.values())
    except (TypeError, ValueError):
        return ""
    if any(p.name == "model" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters):
        return "model"
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return None if len(positional) >= 2 and positional[1].default is inspect.Parameter.empty else ""


def _run_async(function: Callable[..., Coroutine[Any, Any, list[Outcome]]], *arguments: Any) -> list[Outcome]:
    """Run to the end in an event loop of its own; on a thread of its own where this one has a loop that runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(function(*arguments))
    with ThreadPoolExecutor(1, "divebell-llm") as pool:
        return pool.submit(copy_context().run, lambda: asyncio.run(function(*arguments))).result()


def _reply(text: object) -> Outcome:
    if not isinstance(text, str):
        raise TypeError(f"the llm function returned {type(text).__name__}, not str")
    return {"text": text}


def _failed(error: Exception) -> Outcome:
    """By name and message only: a host object never crosses."""
    return {"kind": wire.MODEL_ERROR, "message": f"{type(error).__name__}: {error}"[:2000]}
