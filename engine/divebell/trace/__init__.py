"""Traces: files that record what happened in a run, and ways to read and show them."""

from divebell.trace.reader import Trace, TraceEvent, read_trace
from divebell.trace.stream import EventStream
from divebell.trace.tree import Span, SpanTotals, build_tree, walk
from divebell.trace.writer import TraceWriter

__all__ = [
    "EventStream",
    "Span",
    "SpanTotals",
    "Trace",
    "TraceEvent",
    "TraceWriter",
    "build_tree",
    "read_trace",
    "walk",
]


def __getattr__(name: str) -> object:
    if name == "Totals":
        raise AttributeError("divebell.trace.Totals is now divebell.trace.SpanTotals")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
