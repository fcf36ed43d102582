"""The half that runs on the host: one test module in one fresh sandbox.

The tests of a class run in one cell. Where that cell fails as a whole (over its time, out of stack, crashed), the
sandbox's promise is used: it is put back to its state before the cell, and the same tests run again one by one, so that
only the one at fault is marked for it.
"""

import functools
import time
from dataclasses import dataclass
from pathlib import Path

from divebell import Cell, Context, Limits, Sandbox
from divebell.sandbox.clock import Clock
from divebell.sandbox.host import CallableHost
from divebell_bridge.door.door import Door

from .sources import test_sources

MEMORY_BYTES = 1 << 30
CELL_SECONDS = 10.0  # of processor time: of the tests of a class together; over it they run one by one
MODULE_SECONDS = 200.0  # of a module; what has not run by then counts as over its time
SEED = 13  # a virtual clock, the same hashes and random numbers each time: the outcomes repeat
CLOCK_STEP_NANOSECONDS = (
    100_000  # of the virtual clock, at each reading: tests that look at it until it is time end soon
)
WHOLE_MODULE = "*"
OVER_ITS_TIME = "the cell ran longer than its limit"

_INSIDE = Path(__file__).with_name("inside.py")
# What ends a cell, apart from its tests: the outcome that its test gets.
_ENDINGS = {"TimeoutError": "timeout", "Killed": "timeout", "StackOverflow": "crash", "Crash": "crash"}


@dataclass(frozen=True)
class Outcome:
    """What came of one test."""

    test: str
    """Its id without the module, or WHOLE_MODULE where the module could not be imported."""
    outcome: str
    """pass, fail, error, skip, timeout or crash."""
    message: str = ""
    details: str = ""


class _Host(CallableHost):
    """A host whose door shows a virtual clock with larger steps than a seeded sandbox's own."""

    def open_door(self, clock: Clock, *, tool_calls: int) -> Door:
        return Door(self, _FasterClock(clock), tool_calls=tool_calls)


class _FasterClock:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.sleep = clock.sleep
        self.pass_time = clock.pass_time

    def read(self) -> tuple[int, int]:
        self._clock.virtual_nanoseconds += CLOCK_STEP_NANOSECONDS
        return self._clock.read()


@functools.cache
def _context() -> Context:
    """The sources, prepared once: every sandbox maps the same pages."""
    return Context.of(dict(test_sources()))


def run_module(module: str, *, with_details: bool = False) -> list[Outcome]:
    """Run a module's tests in a sandbox of their own. Whatever they do there is an outcome; nothing is raised."""
    limits = Limits(memory_bytes=MEMORY_BYTES, cell_seconds=CELL_SECONDS, door_calls=10_000_000)
    with Sandbox(_context(), limits=limits, seed=SEED, host=_Host(None)) as box:
        prepared = box.run(_INSIDE.read_text() + f"\nDETAILS[0] = {with_details}\n")
        if prepared.error:
            raise RuntimeError(f"the sandbox could not be prepared: {prepared.error}")
        return _Run(box, module).outcomes()


class _Run:
    def __init__(self, box: Sandbox, module: str) -> None:
        self._box = box
        self._module = module
        self._processor_seconds_at_start = time.thread_time()

    def outcomes(self) -> list[Outcome]:
        loading = self._box.run(f"load({self._module!r})")
        loaded = loading.value if isinstance(loading.value, dict) else {}
        if "groups" not in loaded:
            return [_outcome(WHOLE_MODULE, loaded["whole"]) if "whole" in loaded else _ended(loading, WHOLE_MODULE)]
        outcomes: list[Outcome] = []
        for number, names in enumerate(loaded["groups"]):
            found = self._run(number, 0, names)
            if found is None:
                found = [one for index, name in enumerate(names) for one in self._run_alone(number, index, name)]
            outcomes += found
        return outcomes

    def _run(self, group: int, first: int, names: list[str]) -> list[Outcome] | None:
        """The outcomes of some tests of a group that ran in one cell; None if the cell did not come to its end."""
        if self._is_over():
            return [Outcome(name, "timeout", "the module's time was up") for name in names]
        cell = self._box.run(f"run_tests({group}, {first}, {first + len(names)})")
        rows = cell.value
        if not isinstance(rows, list) or len(rows) != len(names):
            return None if len(names) > 1 else [_ended(cell, names[0])]
        return [_outcome(name, row) for name, row in zip(names, rows, strict=True)]

    def _run_alone(self, group: int, index: int, name: str) -> list[Outcome]:
        return self._run(group, index, [name]) or []

    def _is_over(self) -> bool:
        return time.thread_time() - self._processor_seconds_at_start > MODULE_SECONDS


def _outcome(test: str, row: list[str]) -> Outcome:
    outcome, message, *details = map(str, row)
    if OVER_ITS_TIME in message:  # unittest takes the interruption for the test's own error
        outcome = "timeout"
    return Outcome(test, outcome, message, *details)


def _ended(cell: Cell, test: str) -> Outcome:
    if cell.error is None:
        return Outcome(test, "error", "the test left no outcome: it ended the cell by itself")
    message = " ".join(f"{cell.error.kind}: {cell.error.message}".split())[:300]
    return Outcome(test, _ENDINGS.get(cell.error.kind, "error"), message, cell.error.traceback)
