"""What the figures measure, and how. Each measure yields rows; figures.py prints them."""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from divebell.context import Context
from divebell.limits import Limits
from divebell.resources import default_engine
from divebell.rlm import RLM
from divebell.runtime import compiled, native
from divebell.runtime.image import boot as boot_image
from divebell.sandbox.guest_requests import ask_guest
from divebell.sandbox.sandbox import Sandbox
from divebell.testing import ScriptedModel
from divebell_bridge.door import wire
from divebell_bridge.money.amounts import Caps
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.memory_ledger import MemoryLedger
from divebell_bridge.money.meter import Meter
from divebell_bridge.money.rates import Rate, RateCard
from divebell_bridge.money.sqlite.ledger import SQLiteLedger
from tests.bench import journal_measures, ratio

_MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure's samples, in `unit`."""

    name: str
    samples: list[float]
    unit: str = "ms"
    aim: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def best(self) -> float:
        """What a busy machine disturbs least."""
        return max(self.samples) if self.unit == "GB/s" else min(self.samples)

    @property
    def p90(self) -> float:
        ordered = sorted(self.samples)
        return ordered[min(int(len(ordered) * 0.9), len(ordered) - 1)]


@dataclass(frozen=True)
class Effort:
    """How much is measured: all of it, or a quick look that only shows that every measure works."""

    quick: bool = False
    _contexts: dict[int, Context] = field(default_factory=dict)

    def times(self, full: int) -> int:
        return max(full // 50, 3) if self.quick else full

    @property
    def small_bytes(self) -> int:
        return 4 * _MIB if self.quick else 64 * _MIB

    @property
    def large_bytes(self) -> int:
        return 64 * _MIB if self.quick else 1024 * _MIB

    def context(self, length: int) -> Context:
        """A text of `length` ASCII characters, made once."""
        if length not in self._contexts:
            self._contexts[length] = Context.of("all work and no play make a dull day. "[:32] * (length // 32))
        return self._contexts[length]


def _milliseconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return (time.perf_counter() - started) * 1000


def _size(length: int) -> str:
    return f"{length // _MIB} MiB" if length < 1 << 30 else f"{length >> 30} GiB"


def start(effort: Effort) -> Iterator[Row]:
    """Interleaved, since the second is told apart from the first."""
    spawns: list[float] = []
    outputs: list[float] = []
    for _ in range(effort.times(500)):
        started = time.perf_counter()
        box = Sandbox()
        spawned = time.perf_counter()
        box.run("print(1 + 1)")
        spawns.append((spawned - started) * 1000)
        outputs.append((time.perf_counter() - started) * 1000)
        box.close()
    yield Row("spawn", spawns, aim="<= 0.15")
    yield Row("spawn to first output", outputs, aim="<= 0.6", note="the spawn and run('print(1 + 1)')")


def cell(effort: Effort) -> Iterator[Row]:
    """Both kinds in turns, on one sandbox."""
    runs: list[float] = []
    requests: list[float] = []
    with Sandbox() as box:
        box.run("1 + 1")
        for number in range(effort.times(2_000)):
            runs.append(_milliseconds(lambda: box.run("1 + 1")))
            guest = box._guest.revive()
            started = time.perf_counter()
            ask_guest(guest, wire.RUN, code="1 + 1", number=number + 2, output_characters=1000, limit="10 s")
            requests.append((time.perf_counter() - started) * 1000)
    yield Row("warm cell", runs, aim="<= 0.1", note="box.run, with the state save that makes it a transaction")
    yield Row("warm cell, request alone", requests, note="the guest's part, without the save")


def door(effort: Effort) -> Iterator[Row]:
    calls = 1_000 if not effort.quick else 50
    samples: list[float] = []
    loops: list[float] = []
    with Sandbox(llm=lambda prompt: "yes") as box:
        box.run("def local(prompt): return 'yes'")
        for _ in range(effort.times(50)):
            loops.append(_milliseconds(lambda: box.run(f"for _ in range({calls}): local('so?')")) / calls)
            samples.append(_milliseconds(lambda: box.run(f"for _ in range({calls}): llm_query('so?')")) / calls)
    loop = statistics.median(loops)
    note = f"one llm_query of a plain function; {calls:,} in a cell, less the loop's own {loop:.4f} ms"
    yield Row("door round trip", [sample - loop for sample in samples], aim="<= 0.04", note=note)


def attach(effort: Effort) -> Iterator[Row]:
    """Spawns without, with a small and with a large context, in turns."""
    contexts = [None, effort.context(effort.small_bytes), effort.context(effort.large_bytes)]
    spawns: list[list[float]] = [[], [], []]
    for _ in range(effort.times(300)):
        for context, samples in zip(contexts, spawns, strict=True):
            started = time.perf_counter()
            box = Sandbox(context)
            samples.append((time.perf_counter() - started) * 1000)
            box.close()
    plain = statistics.median(spawns[0])
    for length, samples in zip((effort.small_bytes, effort.large_bytes), spawns[1:], strict=True):
        note = f"above a plain spawn of {plain:.3f} ms; the same for every size"
        yield Row(f"attach {_size(length)}", [sample - plain for sample in samples], aim="<= 0.2", note=note)


def documents(effort: Effort) -> Iterator[Row]:
    """A list of documents: spawns with and without it in turns, and what a sandbox keeps of its own."""
    count, length = (100, 10_000) if effort.quick else (1_000, 100_000)
    context = Context.of([f"document {number:08d} ".ljust(length, "x") for number in range(count)])
    spawns: list[float] = []
    attached: list[float] = []
    with Sandbox() as plain, Sandbox(context) as box:
        for one in (plain, box):
            one.run("1")
        own = (box.snapshot().bytes - plain.snapshot().bytes) / 1024
    for _ in range(effort.times(300)):
        spawns.append(_milliseconds(lambda: Sandbox().close()))
        attached.append(_milliseconds(lambda: Sandbox(context).close()))
    base = statistics.median(spawns)
    name = f"{count:,} documents"
    note = f"a list[str] of {length // 1_000} KB each, above a plain spawn of {base:.3f} ms"
    yield Row(f"attach {name}", [sample - base for sample in attached], aim="<= 2", note=note)
    yield Row(f"memory of {name}", [own], unit="KB", note="of each sandbox's own, after a cell, above a plain one")
    parts: list[float] = []
    for number in range(effort.times(300)):
        child = context.item(number % count)
        parts.append(_milliseconds(lambda child=child: Sandbox(child).close()) - base)  # type: ignore[misc]
    yield Row("attach one of them to a child", parts, note="context.item(n), above a plain spawn")


def scan(effort: Effort) -> Iterator[Row]:
    length = effort.large_bytes
    codes = {"re.search": "re.search('never there', context)", "str.find": "context.find('never there')"}
    samples: dict[str, list[float]] = {name: [] for name in codes}
    with Sandbox(effort.context(length), limits=Limits(cell_seconds=100)) as box:
        box.run("import re")
        for _ in range(3 if effort.quick else 5):
            for name, code in codes.items():
                samples[name].append(length / _milliseconds(lambda code=code: box.run(code)) / 1e6)  # type: ignore[misc]
    for name in codes:
        yield Row(f"{name} over {_size(length)}", samples[name], unit="GB/s", note="for a needle that is not there")


def _private_kilobytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty:", "Private_Clean:")))


def memory(effort: Effort) -> Iterator[Row]:
    if not Path("/proc/self/smaps_rollup").exists():
        yield Row("private memory", [0.0], unit="KB", note="not known on this platform")
        return
    count = 20 if effort.quick else 200
    with Sandbox() as box:
        box.run("print(1)")
    boxes = []
    before = _private_kilobytes()
    for _ in range(count):
        box = Sandbox()
        box.run("print(1)")
        boxes.append(box)
    once = _private_kilobytes()
    for box in boxes:
        box.run("print(1)")
    twice = _private_kilobytes()
    for box in boxes:
        box.close()
    note = f"each of {count}, after a cell"
    yield Row("private memory", [(once - before) / count], unit="KB", aim="<= 400", note=note)
    note = "after a second cell: with the saved state before it"
    yield Row("private memory, saved state", [(twice - before) / count], unit="KB", note=note)


def boot(effort: Effort) -> Iterator[Row]:
    loads: list[float] = []
    boots: list[float] = []
    for _ in range(3 if effort.quick else 15):
        engine = native.make_engine(epochs=False)
        started = time.perf_counter()
        module = compiled.load(engine, epochs=False)
        loads.append((time.perf_counter() - started) * 1000)
        linked = native.NativeModule(engine, module)
        boots.append(_milliseconds(lambda linked=linked: boot_image(linked)))  # type: ignore[misc]
    yield Row("load of the compiled module", loads, note="from the cache")
    yield Row("boot of the image", boots, note="once a process")


def ratios(effort: Effort) -> Iterator[Row]:
    found = ratio.measure(rounds=2 if effort.quick else 8, scale=0.02 if effort.quick else 1)
    slowest = max(found.ratios, key=lambda name: found.ratios[name])
    note = f"to {found.native}; the farthest: {slowest} x{found.ratios[slowest]:.2f}"
    yield Row(f"interpreter, {len(found.ratios)} programs", [found.mean], unit="x native", aim="<= 2.0", note=note)


def limits(effort: Effort) -> Iterator[Row]:
    seconds = 0.05
    small = Limits(cell_seconds=seconds, grace_seconds=seconds)
    soft: list[float] = []
    hard: list[float] = []
    crashes: list[float] = []
    deaf = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    with Sandbox(limits=small) as box:
        box.run("import os; kept = 1")
        for _ in range(3 if effort.quick else 40):
            soft.append(_milliseconds(lambda: box.run("while True: pass")) - seconds * 1000)
            hard.append(_milliseconds(lambda: box.run(deaf)) - 2 * seconds * 1000)
            crashes.append(_milliseconds(lambda: box.run("os.abort()")))
        if box.run("kept").value != 1:
            sys.exit("the state did not survive the kills")
    yield Row("soft interrupt, late by", soft, note="TimeoutError in a loop; the state lives on")
    yield Row("hard kill, late by", hard, note="a loop that ignores the interrupt, and the restore")
    yield Row("restore after a crash", crashes, note="os.abort() to the sandbox in its state before the cell")


FAN_OUTS = {
    "batched": "replies = llm_query_batched(prompts)",
    "gather": "import asyncio\nreplies = await asyncio.gather(*[allm_query(p) for p in prompts])",
    "ThreadPoolExecutor": "from concurrent.futures import ThreadPoolExecutor\n"
    "with ThreadPoolExecutor(64) as pool: replies = list(pool.map(llm_query, prompts))",
}


def run(effort: Effort) -> Iterator[Row]:
    """Whole runs, with a budget in dollars: their models wait, and all else is the engine's."""
    calls, at_once, delay_seconds = 1_000 if not effort.quick else 50, 64, 0.2 if not effort.quick else 0.01
    least = -(-calls // at_once) * delay_seconds
    for name, code in FAN_OUTS.items():
        seconds: list[float] = []
        cell = f"prompts = [str(n) for n in range({calls})]\n{code}\nFINAL(replies == prompts)"
        for _ in range(effort.times(5)):
            sub = ScriptedModel(
                "sub", lambda ask_guest: str(ask_guest.messages[-1]["content"]), delay_seconds=delay_seconds
            )
            rlm = RLM(
                ScriptedModel("root", [f"```repl\n{cell}\n```"]),
                sub,
                max_concurrent_calls=at_once,
                budget=Budget(dollars="100", calls=calls + 2),
                rates=dict.fromkeys(("root", "sub"), Rate.per_million("1", "1")),
            )
            result = rlm.run("context", "q")
            if result.answer != "True" or result.spend["calls"] != calls + 1:
                sys.exit(f"the sub-calls went wrong: {result.answer}, {result.spend}")
            seconds.append(result.seconds)
        note = (
            f"{calls:,} of {delay_seconds * 1000:g} ms, {at_once} at a time; {least:g} s is the least that it can take"
        )
        yield Row(f"sub-calls, {name}", seconds, unit="s", aim="< 4", note=note)


def meter(effort: Effort) -> Iterator[Row]:
    """Both ledgers in turns. A run with a cap, carved out of its tenant's, which has a cap for each day and in total."""
    rates = RateCard({"priced": Rate.per_million("1", "10")})
    prompt = ["x" * 1_000]
    with tempfile.TemporaryDirectory() as folder, SQLiteLedger(Path(folder) / "ledger.db") as shared:
        ledgers: dict[str, Ledger] = {"memory": MemoryLedger(), "SQLite": shared}
        meters: dict[str, Meter] = {}
        for name, ledger in ledgers.items():
            cap = Caps(10**17, None, None)
            day = ledger.tenant("bench", total=cap, per_day=cap)
            meters[name] = Meter(Budget(dollars="100"), rates, ledger=ledger, parent_account=day)
        samples: dict[str, list[float]] = {name: [] for name in ledgers}
        for _ in range(effort.times(5_000)):
            for name, each in meters.items():
                started = time.perf_counter()
                each.settle(each.hold("priced", prompt, 100).charge(250, 50))
                samples[name].append((time.perf_counter() - started) * 1e6)
        for each in meters.values():
            each.close()
    note = "one call's hold and settlement, in its run, day and tenant"
    yield Row("meter a call, memory", samples["memory"], unit="us", aim="<= 50", note=note)
    yield Row("meter a call, SQLite", samples["SQLite"], unit="us", aim="<= 500", note="the same, two transactions")


def journal(effort: Effort) -> Iterator[Row]:
    for name, samples, note in journal_measures.lines(effort.times(5_000)):
        yield Row(name, samples, unit="us", note=note)
    for name, samples, note in journal_measures.queries(effort.times(150), model_seconds=0.05):
        yield Row(name, samples, aim="" if "models of" in name else "<= 50", note=note)


MEASURES: dict[str, Callable[[Effort], Iterator[Row]]] = {
    "start": start,
    "cell": cell,
    "door": door,
    "attach": attach,
    "documents": documents,
    "scan": scan,
    "memory": memory,
    "boot": boot,
    "ratio": ratios,
    "limits": limits,
    "meter": meter,
    "run": run,
    "journal": journal,
}


def warm() -> None:
    """Compile, boot and spawn once, so that no figure pays for it."""
    default_engine().warm()
    with Sandbox() as box:
        assert box.run("1 + 1").value == 2
