"""Writes what happens in a run to Python's logging. Under "divebell.run": a line per event, at DEBUG. Under
"divebell.calls": each attempt and each wait of a model call at DEBUG, and a WARNING if a call failed for good after
several attempts.

Only names, counts, times and costs are logged. No line has a prompt, a reply, code or output: they belong to customers,
and may be hostile. What others wrote (a model's name, an error's sentence) is clipped and escaped.
"""

import logging

from divebell.calls.spending import cost_text
from divebell.events import (
    CallEnded,
    CallUsage,
    CellEnded,
    CellStarted,
    ChildEnded,
    Event,
    EventListener,
    LimitReached,
    RootReplied,
    RunEnded,
    RunStarted,
    ToolEnded,
)
from divebell.text import quote
from divebell_bridge.money.dollars import dollars

MAX_SENTENCE_CHARACTERS = 300

_log = logging.getLogger("divebell.run")
_calls_log = logging.getLogger("divebell.calls")


def debug_listener() -> EventListener | None:
    """A listener that logs the events of a run; None if nobody would see them."""
    return _log_event if _log.isEnabledFor(logging.DEBUG) else None


def _log_event(event: Event) -> None:
    _log.debug("run %s/%s turn %d: %s", event.run_id, event.path, event.turn, _describe(event))


def _describe(event: Event) -> str:
    match event:
        case RunStarted():
            return f"begins, root model {quote(event.model)}"
        case RootReplied():
            return f"root call of {quote(event.model)}: {_cost(event.usage, event.call_seconds)}"
        case CallEnded(usage=CallUsage(memo=True)):
            return f"sub-call of {quote(event.model)}, from the memo"
        case CallEnded(usage=CallUsage() as usage):
            return f"sub-call of {quote(event.model)}: {_cost(usage, event.call_seconds)}"
        case CallEnded():
            return f"sub-call of {quote(event.model)}: cost unknown, {event.call_seconds:.2f} s{_failure(event)}"
        case CellStarted():
            return "cell begins"
        case CellEnded(cell=cell):
            outcome = "ok" if cell.error is None else f"failed with {quote(cell.error.kind)}"
            return f"cell {outcome} in {cell.seconds:.3f} s{', state restored' if cell.restored else ''}"
        case ToolEnded():
            return f"tool {quote(event.name)} ended{_failure(event)}"
        case ChildEnded():
            return f"child number {event.number} ended{_failure(event)}"
        case LimitReached():
            return f"the limit of {event.limit} ends its turns ({event.spent} of {event.cap})"
        case RunEnded():
            return f"ends, {event.status}{_failure(event)}"
        case _:
            return event.kind


def _cost(usage: CallUsage, call_seconds: float) -> str:
    spent = cost_text(f"{dollars(usage.picodollars):f}", int(usage.unpriced))
    return (
        f"{usage.input_tokens} + {usage.output_tokens} tokens, {spent}, {call_seconds:.2f} s, "
        f"attempts: {usage.attempts}, {quote(usage.finish_reason)}"
    )


def _failure(event: CallEnded | ToolEnded | ChildEnded | RunEnded) -> str:
    return "" if event.error_type is None else f", with {quote(event.error_type)}"


def log_retry(run_id: str, model: str, error: Exception, attempt: int, seconds: float) -> None:
    """A call failed, and is made again after `seconds`."""
    _calls_log.debug(
        "run %s: try %d of a call of %s failed, the next one in %.2f s: %s",
        run_id,
        attempt,
        quote(model),
        seconds,
        quote(str(error), MAX_SENTENCE_CHARACTERS),
    )


def log_failure(run_id: str, model: str, error: Exception, attempts: int) -> None:
    """A call failed for good: a WARNING if it was tried several times, because that took time and money."""
    _calls_log.log(
        logging.WARNING if attempts > 1 else logging.DEBUG,
        "run %s: a call of %s failed for good, tries: %d: %s",
        run_id,
        quote(model),
        attempts,
        quote(str(error), MAX_SENTENCE_CHARACTERS),
    )


def log_waiting(run_id: str, model: str, refusal: Exception) -> None:
    """A call waits for money that other calls hold."""
    _calls_log.debug(
        "run %s: a call of %s waits for what others hold: %s",
        run_id,
        quote(model),
        quote(str(refusal), MAX_SENTENCE_CHARACTERS),
    )
