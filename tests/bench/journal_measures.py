"""What the journal and the trace cost: a line, a call, and a whole query with everything off and on."""

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from divebell import Completion, ModelRequest, Usage
from divebell.cell import Cell
from divebell.journal.entries import CallEntry, SentEntry
from divebell.journal.file import JournalFile
from divebell.journal.recorder import Recorder
from divebell.rlm import RLM
from divebell.testing import ScriptedModel, replay
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.rates import Rate
from divebell_bridge.money.tally import Tally

TURNS = [
    *(
        f"```repl\nprint(len(llm_query_batched([f'{turn} {{n}} ' + context[:1000] for n in range(17)])))\n```"
        for turn in "abc"
    ),
    "FINAL(done)",
]  # 4 turns, 51 sub-calls
MODES = ("everything off", "journal", "trace", "journal and trace")


def lines(times: int) -> Iterator[tuple[str, list[float], str]]:
    """Microseconds of what the journal does for one call, and for one cell."""
    request = ModelRequest(messages=[{"role": "user", "content": "x" * 1_000}], max_output_tokens=100)
    reply = Completion(text="y" * 200, usage=Usage(input_tokens=250, output_tokens=50))
    cell = Cell(stdout="z" * 500)
    calls: list[float] = []
    cells: list[float] = []
    doors: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        journal = Recorder.begin(JournalFile.begin(Path(folder) / "journal"), {"kind": "header", "id": "bench"})
        for number in range(times):
            name, hold = f"sub-call {number}", f"{number:040x}"
            started = time.perf_counter()
            journal.write(SentEntry("0", name, "sub", hold, Tally(input_tokens=1_000, output_tokens=100)))
            cost = Tally(input_tokens=250, output_tokens=50)
            journal.write(CallEntry("0", name, "sub", request, reply, hold, cost, 100))
            called = time.perf_counter()
            journal.keep_door_answer("0", "query", b"x" * 1_100, [{"text": "y" * 200}], None)
            told = time.perf_counter()
            journal.keep_cell("0", "print(found)", cell)
            calls.append((called - started) * 1e6)
            doors.append((told - called) * 1e6)
            cells.append((time.perf_counter() - told) * 1e6)
        journal.close()
    yield (
        "journal a call",
        calls,
        "two lines, before it leaves and before anybody sees its completion; 1,000 characters",
    )
    yield "journal an answer at the door", doors, "one line, of one reply"
    yield "journal a cell", cells, "one line, of 500 characters"


class Query:
    """One query, 4 turns and 51 sub-calls of models that take no time, in one of the MODES."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self.journal = folder / "none"

    def seconds(self, mode: str, model_seconds: float = 0.0) -> float:
        sub = ScriptedModel("sub", lambda request: "yes", delay_seconds=model_seconds)
        settings: dict[str, Any] = {"trace": "full", "trace_folder": self._folder} if "trace" in mode else {}
        rlm = RLM(
            ScriptedModel("root", TURNS, delay_seconds=model_seconds),
            sub,
            budget=Budget(dollars="10"),
            max_concurrent_calls=64,
            rates=dict.fromkeys(("root", "sub"), Rate.per_million("1", "1")),
            **settings,
        )
        journal = None
        if "journal" in mode:
            journal = self.journal = self._folder / f"{next(self._numbers)}.journal"
        started = time.perf_counter()
        result = rlm.run("context " * 1_000, "q", journal=journal)
        took = time.perf_counter() - started
        if result.answer != "done" or result.spend["calls"] != 55:
            sys.exit(f"the query went wrong: {result.answer}, {result.spend}")
        return took


def queries(times: int, *, model_seconds: float) -> Iterator[tuple[str, list[float], str]]:
    """Milliseconds of a whole query, in each mode in turns; and of its replay. Of models that take no time, and of
    those that take so many seconds."""
    slow = f"models of {model_seconds * 1000:g} ms"
    samples: dict[str, list[float]] = {mode: [] for mode in (*MODES, "replay")}
    slow_samples: dict[str, list[float]] = {mode: [] for mode in (MODES[0], "trace", "journal and trace")}
    with tempfile.TemporaryDirectory() as folder:
        query = Query(Path(folder))
        for _ in range(times):
            for mode in MODES:
                samples[mode].append(query.seconds(mode) * 1000)
            samples["replay"].append(_milliseconds(lambda: replay(query.journal)))
        for _ in range(-(-times // 10)):
            for mode, found in slow_samples.items():
                found.append(query.seconds(mode, model_seconds) * 1000)
    yield from _compared("query", samples, "4 turns, 51 sub-calls in 3 batches; models take no time")
    yield from _compared(f"query, {slow}", slow_samples, f"the same; they wait {7 * model_seconds * 1000:g} ms")


def _compared(name: str, samples: dict[str, list[float]], first: str) -> Iterator[tuple[str, list[float], str]]:
    plain = statistics.median(samples[MODES[0]])
    for mode, found in samples.items():
        more = (statistics.median(found) / plain - 1) * 100
        yield f"{name}, {mode}", found, first if mode == MODES[0] else f"{more:+.1f} % to everything off"


def _milliseconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return (time.perf_counter() - started) * 1000
