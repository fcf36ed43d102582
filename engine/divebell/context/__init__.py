"""The context: what a run is about, prepared once and shared with every guest that reads it."""

from divebell.context.context import Context, Source
from divebell.context.layout import MAX_CONTEXT_BYTES

__all__ = ["MAX_CONTEXT_BYTES", "Context", "Source"]
