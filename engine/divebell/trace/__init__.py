"""Traces: what happened in a run, in a file; and looking at them."""

from divebell.trace.reader import Trace, TraceEvent, read_trace
from divebell.trace.stream import EventStream
from divebell.trace.tree import Span, Totals, build_tree, walk
from divebell.trace.writer import TraceWriter

__all__ = ["EventStream", "Span", "Totals", "Trace", "TraceEvent", "TraceWriter", "build_tree", "read_trace", "walk"]
