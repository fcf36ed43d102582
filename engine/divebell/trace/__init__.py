"""Traces: files that record what happened in a run, and ways to read and show them."""

from typing import TYPE_CHECKING, NoReturn

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

if not TYPE_CHECKING:  # for type checkers it is an unknown name, like any other

    def __getattr__(name: str) -> NoReturn:
        if name == "Totals":
            raise ImportError("divebell.trace.Totals is now called divebell.trace.SpanTotals", name=__name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
