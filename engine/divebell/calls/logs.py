"""What happens in a run, to Python's logging: a line an event at DEBUG, under "divebell.run"; and of model calls, under
"divebell.calls", each try and each wait at DEBUG, and a WARNING where a call that was tried again failed for good.

Names, counts, times and costs only. No line has a prompt, a reply, code or output: they are the customers', and may be
hostile. What others wrote (a model's name, an error's sentence) is cut and escaped.
"""

import logging
from collections.abc import Mapping
from typing import Any

from divebell.calls.spending import cost_text
from divebell.cell import Cell
from divebell.events import Event, EventListener
from divebell.text import shown
from divebell.trace.schema import with_outcome
from divebell_bridge.money.budget import dollars

MAX_SENTENCE_CHARACTERS = 300

_log = logging.getLogger("divebell.run")
_calls_log = logging.getLogger("divebell.calls")


def debug_listener() -> EventListener | None:
    """What logs the events of a run that begins now; None where nobody would see it."""
    return _log_event if _log.isEnabledFor(logging.DEBUG) else None


def _log_event(event: Event) -> None:
    _log.debug("run %s/%s turn %d: %s", event.run_id, event.path, event.turn, _in_words(event.kind, event.data))


def _in_words(kind: str, data: dict[str, Any]) -> str:
    cell = data.get("cell")
    if kind == "run":
        return f"begins, root model {shown(str(data.get('model')))}"
    if kind in ("reply", "call"):
        return f"{'root ' if kind == 'reply' else 'sub-'}call{_cost(data)}"
    if kind == "code":
        return "cell begins"
    if kind == "cell" and isinstance(cell, Cell):
        outcome = "ok" if cell.error is None else f"failed with {shown(cell.error.kind)}"
        return f"cell {outcome} in {cell.seconds:.3f} s{', state restored' if cell.restored else ''}"
    if kind == "tool":
        return f"tool {shown(str(data.get('name')))} ended{_failure(with_outcome(data))}"
    if kind == "child":
        return f"child number {data.get('number')} ended{_failure(data)}"
    if kind == "limit":
        return f"the limit of {data.get('limit')} ends its turns ({data.get('spent')} of {data.get('cap')})"
    if kind == "answer":
        return f"ends, {data.get('status')}{_failure(data)}"
    return kind


def _cost(data: dict[str, Any]) -> str:
    name = f" of {shown(str(data.get('model')))}"
    if data.get("memo"):
        return f"{name}, from the memo"
    cost = data.get("picodollars")
    spent = cost_text(f"{dollars(cost):f}", int(bool(data.get("unpriced")))) if type(cost) is int else "cost unknown"
    return (
        f"{name}: {data.get('input_tokens')} + {data.get('output_tokens')} tokens"
        f", {spent}, {data.get('call_seconds') or 0.0:.2f} s, "
        f"attempts: {data.get('attempts')}, {shown(str(data.get('finish_reason')))}{_failure(data)}"
    )


def _failure(data: Mapping[str, Any]) -> str:
    return f", with {shown(str(data['error_type']))}" if data.get("error_type") else ""


def log_retry(run_id: str, model: str, error: Exception, attempt: int, seconds: float) -> None:
    """A call failed, and is made again after so many seconds."""
    _calls_log.debug(
        "run %s: try %d of a call of %s failed, the next one in %.2f s: %s",
        run_id,
        attempt,
        shown(model),
        seconds,
        shown(str(error), MAX_SENTENCE_CHARACTERS),
    )


def log_failure(run_id: str, model: str, error: Exception, attempts: int) -> None:
    """A call failed for good: a WARNING where it was tried several times, because that was waited and paid for."""
    _calls_log.log(
        logging.WARNING if attempts > 1 else logging.DEBUG,
        "run %s: a call of %s failed for good, tries: %d: %s",
        run_id,
        shown(model),
        attempts,
        shown(str(error), MAX_SENTENCE_CHARACTERS),
    )


def log_waiting(run_id: str, model: str, refusal: Exception) -> None:
    """A call waits for what other calls hold."""
    _calls_log.debug(
        "run %s: a call of %s waits for what others hold: %s",
        run_id,
        shown(model),
        shown(str(refusal), MAX_SENTENCE_CHARACTERS),
    )
