"""Completions, failures and costs as a journal's records, and read from them."""

from collections.abc import Iterable, Mapping
from typing import Any

from divebell.errors import ContextTooLongError, DivebellError, IncompleteReply, JournalError, ModelError, RequestError
from divebell.journal.records import MAX_COUNT, Record, pack, text_of
from divebell.models.protocol import Completion
from divebell.models.tool_calls import bound_tool_calls
from divebell.usage import Usage
from divebell_bridge.door.wire import BAD_REQUEST, MODEL_ERROR
from divebell_bridge.money.errors import BudgetExceeded
from divebell_bridge.money.tally import Tally

_SHOWN = 200
_USAGE = frozenset({"input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens"})


def completion_as_record(completion: Completion) -> Record:
    """The fields of a call's record that hold its completion."""
    usage = completion.usage
    record: Record = {
        "text": completion.text,
        "finish_reason": str(completion.finish_reason),
        "usage": None if usage is None else {name: getattr(usage, name) for name in sorted(_USAGE)},
    }
    return {**record, "tool_calls": list(completion.tool_calls)} if completion.tool_calls else record


def completion_of(record: Record) -> Completion:
    """The completion in a call's record. JournalError if it is malformed."""
    usage = record.get("usage")
    if usage is not None and not (
        isinstance(usage, dict)
        and _USAGE.issuperset(usage)
        and all(type(count) is int and abs(count) <= MAX_COUNT for count in usage.values())
    ):
        raise JournalError(f"the journal has a malformed usage for {record.get('name')!r:.100}")
    tool_calls = record.get("tool_calls", [])
    if not isinstance(tool_calls, list):
        raise JournalError(f"the journal has malformed tool calls for {record.get('name')!r:.100}: they are not a list")
    return Completion(
        text=text_of(record, "text"),
        usage=None if usage is None else Usage(**usage),
        finish_reason=text_of(record, "finish_reason"),
        tool_calls=bound_tool_calls(tool_calls),
    )


def output_limit_of(record: Record) -> int | None:
    """The output limit that was sent, in tokens; None if the record does not say. JournalError if it is
    malformed."""
    limit = record.get("limit")
    if limit is not None and not (type(limit) is int and 0 < limit <= MAX_COUNT):
        raise JournalError(f"the journal has a malformed output limit for {record.get('name')!r:.100}")
    return limit


def error_as_record(error: DivebellError) -> Record:
    """A failure as plain data: its message, and what decides how a run continues after it."""
    if isinstance(error, ContextTooLongError):
        limits = {"limit_tokens": error.limit_tokens, "requested_tokens": error.requested_tokens}
        return {"class": "ContextTooLong", "message": str(error), "counts_output": error.counts_output, **limits}
    if isinstance(error, IncompleteReply):
        return {"class": "IncompleteReply", "message": str(error), "text": error.text}
    if not isinstance(error, BudgetExceeded):
        return {"class": "RequestError" if isinstance(error, RequestError) else "ModelError", "message": str(error)}
    figures = {
        name: None if getattr(error, name) is None else str(getattr(error, name)) for name in ("cap", "spent", "held")
    }
    return {"class": "BudgetExceeded", "message": str(error), "limit": error.limit, "path": error.account, **figures}


def are_same(recorded: object, repeated: object) -> bool:
    """Whether a repeated call has the recorded outcome. A BadRequest was once a ModelError with other words."""
    if pack(recorded) == pack(repeated):
        return True
    if isinstance(recorded, (list, tuple)) and isinstance(repeated, (list, tuple)):
        return len(recorded) == len(repeated) and all(map(are_same, recorded, repeated))
    if isinstance(recorded, dict) and isinstance(repeated, dict):
        return recorded.get("kind") == MODEL_ERROR and repeated.get("kind") == BAD_REQUEST
    return False


def error_of(record: object) -> DivebellError:
    """The recorded failure: the class that decides how the run continues, and its message. JournalError where
    it is malformed."""
    if not isinstance(record, dict) or not isinstance(record.get("message"), str):
        raise JournalError("the journal has a malformed error record")
    if record.get("class") == "ContextTooLong":
        return _too_long_of(record)
    if record.get("class") == "IncompleteReply":
        return IncompleteReply(record["message"], text=text_of(record, "text"))
    if record.get("class") != "BudgetExceeded":
        kind = RequestError if record.get("class") == "RequestError" else ModelError
        return kind(record["message"])
    figures: dict[str, Any] = {name: record.get(name) for name in ("cap", "spent", "held")}
    texts = [record.get("limit"), record.get("path"), *(figure for figure in figures.values() if figure is not None)]
    if not all(isinstance(text, str) for text in texts):
        raise JournalError("the journal has a malformed record of a budget's refusal")
    return BudgetExceeded(
        record["message"],
        limit=record["limit"],
        account=record["path"],
        cap=figures["cap"],
        spent=figures["spent"],
        held=figures["held"],
    )


def _too_long_of(record: Mapping[str, Any]) -> ContextTooLongError:
    limits = (record.get("limit_tokens"), record.get("requested_tokens"))
    if not all(limit is None or (type(limit) is int and 0 <= limit <= MAX_COUNT) for limit in limits):
        raise JournalError("the journal has a malformed record of a prompt that was too long")
    return ContextTooLongError(
        record["message"],
        limit_tokens=limits[0],
        requested_tokens=limits[1],
        counts_output=record.get("counts_output") is not False,
    )


def add_costs(summary: Mapping[str, Any], costs: Iterable[tuple[str, Tally]]) -> dict[str, Any]:
    """A summary of spending (Meter.summary) with these costs added, each with the model that caused it."""
    total = dict(summary)
    models = {name: dict(account) for name, account in summary.get("models", {}).items()}
    for model, tally in costs:
        for account in (total, models.setdefault(model, {})):
            for name, value in tally.as_dict().items():
                account[name] = account.get(name, 0) + value
    return {**total, "models": models}


def first_difference(recorded: object, now: object) -> str:
    """Where two outcomes differ first, with a little text around that place."""
    one, other = (value if isinstance(value, str) else repr(value) for value in (recorded, now))
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    begin = max(at - 20, 0)
    return f"recorded {one[begin : at + _SHOWN]!r}, now {other[begin : at + _SHOWN]!r}, from character {at}"
