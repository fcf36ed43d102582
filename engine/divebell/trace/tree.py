"""The tree of a trace: runs, their turns, the cells of a turn, and the calls, tools and children of a cell.

A span is one thing that took time. It may come from two events, a beginning and an end. Every span has the totals of
all that is inside it. A trace with missing events still makes a tree: a span without its end is open, and one whose
parent is missing belongs to the query's run.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from divebell.errors import ConfigurationError
from divebell.trace.reader import TraceEvent
from divebell_bridge.money.dollars import picodollars

KINDS = {
    "run": "run",
    "reply": "turn",
    "code": "cell",
    "cell": "cell",
    "call": "call",
    "tool": "tool",
    "limit": "limit",
}


@dataclass(slots=True)
class SpanTotals:
    """What a span used, including all that is inside it."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    picodollars: int = 0
    errors: int = 0
    unpriced: int = 0
    """Calls of models whose price is not known, so that `picodollars` does not include them."""

    def add(self, other: "SpanTotals") -> None:
        self.calls += other.calls
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cached_input_tokens += other.cached_input_tokens
        self.picodollars += other.picodollars
        self.errors += other.errors
        self.unpriced += other.unpriced


@dataclass(slots=True)
class Span:
    """kind: "run", "turn", "cell", "call", "tool", "limit" or another event's kind. `own` is what the span's own model
    call used, `totals` includes all that is inside it. start, end: seconds since the query began."""

    id: int
    kind: str
    path: str
    turn: int
    start: float
    end: float
    data: dict[str, Any]
    is_open: bool = False
    children: "list[Span]" = field(default_factory=list)
    own: SpanTotals = field(default_factory=SpanTotals)
    totals: SpanTotals = field(default_factory=SpanTotals)

    @property
    def failed(self) -> bool:
        """Whether its own work failed: an error of a call, a tool or a cell."""
        return bool(self.data.get("error")) or self.data.get("ok") is False


def build_tree(events: Iterable[TraceEvent]) -> list[Span]:
    """The runs of a trace, in order. A span without a parent comes under the run before it, or stands alone."""
    spans: dict[int, Span] = {}
    runs: dict[str, Span] = {}
    roots: list[Span] = []
    above: dict[int, int | None] = {}
    for event in events:
        span = _end_span(event, spans, runs)
        if span is not None:
            spans[event.id] = span
            continue
        if event.kind in ("end", "child"):
            continue
        span = _new_span(event)
        spans[event.id] = span
        parent = spans.get(event.parent) if event.parent is not None else None
        if parent is None and event.kind != "run" and roots:
            parent = roots[-1]
        if event.kind == "run":
            runs[event.path] = span
        above[span.id] = None if parent is None else parent.id
        (roots if parent is None else parent.children).append(span)
    _add_up(spans, above)
    return roots


def walk(spans: Iterable[Span]) -> Iterator[tuple[Span, int]]:
    """Every span with its depth, parents before their children."""
    waiting = [(span, 0) for span in reversed(list(spans))]
    while waiting:
        span, depth = waiting.pop()
        yield span, depth
        waiting.extend((child, depth + 1) for child in reversed(span.children))


def _end_span(event: TraceEvent, spans: dict[int, Span], runs: dict[str, Span]) -> Span | None:
    """The span that this event ends, if it ends one."""
    if event.kind == "cell":
        span = spans.get(event.parent) if event.parent is not None else None
        if span is None or span.kind != "cell" or not span.is_open:
            return None
    elif event.kind == "answer":
        span = runs.get(event.path)
    elif event.kind == "child":
        span = runs.get(f"{event.path}.{event.data.get('number')}")
        if span is None or not span.is_open:
            return span
    else:
        return None
    if span is None:
        return None
    span.end = max(span.end, event.seconds)
    span.is_open = False
    span.data = {**span.data, **event.data}
    return span


def _new_span(event: TraceEvent) -> Span:
    data = event.data
    seconds = data.get("call_seconds") or data.get("tool_seconds") or 0.0
    if event.kind == "cell":
        seconds = data.get("cell_seconds") or 0.0
    own = SpanTotals(errors=int(bool(data.get("error"))))
    if event.kind in ("reply", "call"):
        own.calls = 1
        own.input_tokens = data.get("input_tokens") or 0
        own.output_tokens = data.get("output_tokens") or 0
        own.cached_input_tokens = data.get("cached_input_tokens") or 0
        own.picodollars = _picodollars(data.get("dollars"))
        own.unpriced = int(data.get("unpriced") is True)
    return Span(
        id=event.id,
        kind=KINDS.get(event.kind, event.kind),
        path=event.path,
        turn=event.turn,
        start=max(event.seconds - seconds, 0.0),
        end=event.seconds,
        data=data,
        is_open=event.kind in ("run", "code"),
        own=own,
    )


def _picodollars(amount: object) -> int:
    try:
        return picodollars(amount) if isinstance(amount, str) else 0
    except ConfigurationError:  # finer than a pico-dollar, or beyond all bounds
        return 0


def _add_up(spans: dict[int, Span], above: dict[int, int | None]) -> None:
    """Carry costs and ends up the tree. Parents come before their children, so in reverse each child comes first."""
    for number in reversed(above):
        span = spans[number]
        if span.data.get("ok") is False:
            span.own.errors = 1
        span.totals.add(span.own)
        parent = above[number]
        if parent is not None:
            spans[parent].totals.add(span.totals)
            spans[parent].end = max(spans[parent].end, span.end)
