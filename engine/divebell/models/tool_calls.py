"""What a model called instead of writing, as plain data within bounds. Pure.

Endpoints send tool calls in their own forms, and adapters pass them on as they are (Completion.tool_calls). They may be
hostile, so the journal and the readers of replies get copies that are bounded here.
"""

from collections.abc import Iterable
from typing import Any

from divebell.bounds import MAX_TOOL_CALL_CHARACTERS
from divebell.text import replace_surrogates

MAX_TOOL_CALLS = 32
MAX_TOOL_CALL_NODES = 1_000
MAX_TOOL_CALL_DEPTH = 16


def bound_tool_calls(calls: Iterable[object]) -> tuple[dict[str, Any], ...]:
    """Copies of those calls that are dicts of plain data, as long as they keep within the bounds together. The first
    call that does not is left out, and so are all that follow it."""
    copies: list[dict[str, Any]] = []
    allowance = _Allowance()
    for call in calls:
        if len(copies) == MAX_TOOL_CALLS:
            break
        try:
            copy = allowance.copy(call, 1)
        except _OverBounds:
            break
        if isinstance(copy, dict):
            copies.append(copy)
    return tuple(copies)


class _OverBounds(Exception):
    pass


class _Allowance:
    """What may still be copied of a reply's tool calls."""

    def __init__(self) -> None:
        self._nodes = MAX_TOOL_CALL_NODES
        self._characters = MAX_TOOL_CALL_CHARACTERS

    def copy(self, value: object, depth: int) -> object:
        self._nodes -= 1
        if isinstance(value, str):
            self._characters -= len(value)
        if self._nodes < 0 or self._characters < 0 or depth > MAX_TOOL_CALL_DEPTH:
            raise _OverBounds
        if isinstance(value, str):
            return replace_surrogates(value)
        if isinstance(value, dict):
            return {str(self.copy(key, depth + 1)): self.copy(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.copy(item, depth + 1) for item in value]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)) and -(1 << 62) <= value <= 1 << 62:  # not a NaN, which no journal can hold
            return value
        return None
