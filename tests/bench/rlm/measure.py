"""One query, measured: what it cost, how long it took, how much memory it needed.

engine_seconds is the time in which no model was at work: what Divebell itself and the guests' own computing take. Where
models are asked in parallel, time counts as the model's as long as one of them is at work.
peak_private_bytes is how much the process's own memory (Linux: RssAnon) grew over what it was before, at most; sampled,
so a peak of less than a few milliseconds may be missed, and memory that the engine keeps from an earlier query and uses
again is not in it. The context is a mapped file, and not in it either. Elsewhere: None.
"""

import contextlib
import ctypes
import gc
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from divebell import (
    RLM,
    Budget,
    Completion,
    Context,
    DivebellError,
    Engine,
    Event,
    Limits,
    Model,
    ModelRequest,
    OpenAIChatModel,
    Rate,
    RateCard,
)
from tests.bench.rlm import policies
from tests.bench.rlm.instances import Instance

SAMPLE_SECONDS = 0.005
CELL_SECONDS = 3_600.0  # a cell may read 10^9 characters
GUEST_MEMORY_BYTES = 2 << 30
ROOT_NAME, SUB_NAME = "scripted-root", "scripted-sub"
ROOT_PRICE, SUB_PRICE = "gpt-5", "gpt-5-mini"
SCRIPTED_DOLLARS = "1000"
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, kw_only=True)
class Player:
    """Who plays the models: a scripted policy, or a real endpoint.

    dollars: what one query may cost. delay_seconds: how long a scripted model's call takes.
    """

    policy: str
    model: str | None = None
    sub_model: str | None = None
    base_url: str | None = None
    dollars: str = SCRIPTED_DOLLARS
    delay_seconds: float = 0.0
    rates: Mapping[str, Rate] = field(default_factory=dict)

    def models(self, instance: Instance) -> "tuple[Model, Model]":
        if self.model is not None:
            root = OpenAIChatModel(self.model, base_url=self.base_url)
            return root, OpenAIChatModel(self.sub_model, base_url=self.base_url) if self.sub_model else root
        return (
            policies.root_model(self.policy, ROOT_NAME, self.delay_seconds),
            policies.sub_model(instance.labels, SUB_NAME, self.delay_seconds),
        )

    def all_rates(self) -> dict[str, Rate]:
        """Scripted models are billed as the models that they stand for, by the pinned rate card."""
        card = RateCard()
        scripted = {ROOT_NAME: card.rate(ROOT_PRICE), SUB_NAME: card.rate(SUB_PRICE)}
        return {**{name: rate for name, rate in scripted.items() if rate is not None}, **self.rates}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one query took. `turns` are the root's own; `calls` and tokens include sub-calls and children."""

    task: str
    variant: str
    size: int
    characters: int
    policy: str
    score: float
    status: str
    turns: int
    children: int
    calls: int
    input_tokens: int
    output_tokens: int
    dollars: float
    seconds: float
    engine_seconds: float
    peak_private_bytes: int | None
    answer: str
    error: str = ""


class BusyTime:
    """The time in which at least one of the models that it watches is at work."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._at_work = 0
        self._since = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        if self._at_work == 0:
            self._since = time.perf_counter()
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
            if self._at_work == 0:
                self.seconds += time.perf_counter() - self._since


class Watched:
    """A model, and a note of when it is at work. One event loop calls it, so it needs no lock."""

    def __init__(self, model: Model, busy: BusyTime) -> None:
        self._model = model
        self._busy = busy

    @property
    def name(self) -> str:
        return self._model.name

    async def complete(self, request: ModelRequest) -> Completion:
        with self._busy.watched():
            return await self._model.complete(request)


class PeakMemory:
    """Samples the process's private memory while it is entered."""

    def __init__(self) -> None:
        self._start = self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)
        self._is_known = sys.platform == "linux" and _STATUS.exists()

    def __enter__(self) -> "PeakMemory":
        if self._is_known:
            _give_back()
            self._start = self._peak = private_bytes()
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._is_known:
            self._done.set()
            self._thread.join()
            self._peak = max(self._peak, private_bytes())

    @property
    def growth_bytes(self) -> int | None:
        return self._peak - self._start if self._is_known else None

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, private_bytes())


def _give_back() -> None:
    """Return what the process has freed to the system, where the C library can do that, so that growth is seen."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def private_bytes() -> int:
    """The process's own resident memory: what is neither a file's nor shared. Linux."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def measure(instance: Instance, player: Player, engine: Engine) -> Measurement:
    """Run the query. A run that fails has the score 0, and says why."""
    busy, children = BusyTime(), [0]

    def on_event(event: Event) -> None:
        children[0] += event.kind == "child"

    root, sub = player.models(instance)
    watched = Watched(root, busy)
    rlm = RLM(
        watched,
        watched if sub is root else Watched(sub, busy),
        budget=Budget(dollars=player.dollars),
        limits=Limits(cell_seconds=CELL_SECONDS, memory_bytes=GUEST_MEMORY_BYTES),
        rates=player.all_rates(),
        seed=1 if player.model is None else None,
        engine=engine,
        on_event=on_event,
    )
    answer, status, error, turns = "", "failed", "", 0
    with PeakMemory() as memory:
        began = time.perf_counter()
        try:
            result = rlm.run(Context.from_file(instance.context), instance.query)
            answer, status, turns = result.answer, result.status, result.iterations
        except DivebellError as failure:
            error = f"{type(failure).__name__}: {failure}"
        seconds = time.perf_counter() - began
    spend = rlm.cost_summary()
    return Measurement(
        task=instance.task,
        variant=instance.variant,
        size=instance.size,
        characters=instance.characters,
        policy=player.policy,
        score=instance.score(answer) if not error else 0.0,
        status=status,
        turns=turns,
        children=children[0],
        calls=spend["calls"],
        input_tokens=spend["input_tokens"],
        output_tokens=spend["output_tokens"],
        dollars=float(spend["dollars"]),
        seconds=seconds,
        engine_seconds=seconds - busy.seconds,
        peak_private_bytes=memory.growth_bytes,
        answer=answer[:200],
        error=error,
    )
