"""The guest's side of the door: one request out, one answer in, and the errors that an answer can stand for."""

from typing import Any

import _divebell
from divebell_guest import wire


class BudgetExceeded(RuntimeError):
    """The run's budget does not allow this call. budget() says what is left."""


class ModelError(RuntimeError):
    """The model or its provider refused the call, or failed."""


class IncompleteReply(ModelError):
    """What came is not whole: the reply was cut off at its output limit, or a child ended before it had an answer.
    `text` is what there is of it."""

    text = ""


class ToolError(RuntimeError):
    """A tool failed, or did not accept its arguments. `kind` is the name of the exception that it raised."""

    kind = ""


class BadAnswer(ValueError):
    """What SUBMIT was given does not fit the output schema. The message says why; correct it and SUBMIT again."""


class BadRequest(ValueError):
    """The host did not understand, or did not accept, what was asked of it."""


class Unavailable(RuntimeError):
    """The application that runs this sandbox does not offer this."""


class Refusal(Exception):
    """A refusal that this package's own code acts on: `kind` is wire.BUSY or wire.SEND_IN_FULL."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


ERRORS: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (BudgetExceeded, ModelError, IncompleteReply, ToolError, BadAnswer, BadRequest, Unavailable)
}


for _error in ERRORS.values():
    _error.__module__ = "__main__"  # where a cell finds it; a traceback shows the bare name then


class FailedCall(str):
    """Stands in a batch's list for a call that failed; the text says why, `.kind` names the error. Of an incomplete
    reply, `.text` is what there is."""

    kind: str = ""
    text: str = ""


def ask(op: str, **arguments: object) -> Any:
    """Send one request through the door, with plain arguments, and return the answer. Raises the error that the host
    reports."""
    arguments["v"] = wire.VERSION
    arguments["op"] = op
    try:
        request = wire.encode(arguments, wire.MAX_MESSAGE_BYTES, is_plain=True)
    except wire.WireError as error:
        raise BadRequest(str(error)) from None
    answer: Any = wire.decode(_divebell.call(request))
    if "ok" in answer:
        return answer["ok"]
    raise error_of(answer["error"])


def error_of(refusal: dict[str, str]) -> Exception:
    """What to raise for a request, or a call, that was refused or failed."""
    kind, message = refusal["kind"], refusal["message"]
    if kind == wire.BUSY or kind == wire.SEND_IN_FULL:
        return Refusal(kind, message)
    if kind == wire.TOOL_ERROR and "error" in refusal:
        tool_error = ToolError(f"{refusal['error']}: {message}" if message else refusal["error"])
        tool_error.kind = refusal["error"]
        return tool_error
    error = ERRORS.get(kind, ModelError)(message)
    if isinstance(error, IncompleteReply):
        error.text = str(refusal.get("partial", ""))
    return error
