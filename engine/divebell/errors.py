"""Every error that Divebell raises.

DivebellError
├── ConfigurationError            what the application requested makes no sense; says what to change
│   ├── CacheError                the folder for compiled modules cannot be trusted or used
│   └── UnknownPriceError         a budget in dollars, and a model whose price is not known
├── ContextError                  the context cannot be read, is of a kind that cannot be shared, or is too large
├── SandboxError                  the sandbox cannot do what was requested
│   ├── GuestError                the guest died or cannot start; has the kind of fault
│   ├── SandboxClosedError        it was closed before
│   └── NotPlainDataError         the value cannot cross between host and guest
├── AnswerError                   an answer does not fit its schema; has one line for each problem
├── BudgetExceeded                a limit of the budget does not allow more; has limit, cap, spent, held, account
├── LedgerError                   the ledger cannot be read or written
│   └── LedgerUnavailableError    it cannot be written just now: a full disk, a drive that is away
│       └── LedgerBusyError       another process is writing to it
├── JournalError                  a journal cannot be read or written, or is of another run
│   └── ReplayDivergedError       a repeated run differs from the recorded one
├── ModelError                    a model call failed; has the model's name
│   ├── ModelUnavailableError     the endpoint did not answer: unreachable, timed out, 5xx
│   ├── ModelRefusedError         the endpoint refused the call: its key, name, request or rate
│   │   ├── ContextTooLongError   the prompt is longer than the model can read; has its window, if it was named
│   │   └── OutputTooLongError    the output limit is higher than the model allows; has that limit, if it was named
│   ├── IncompleteReply           the reply is not complete: a cut reply, or a child's draft; has its text
│   ├── RequestError              the request itself cannot be sent, and no model was called
│   │   └── SchemaRefusedError    the schema that sandboxed code gave is not supported; says what to change
│   └── UnknownModelError         no model of that name is configured
├── RunError                      the run ended without an answer
└── TraceError                    a trace cannot be written, or a file is not a trace; says which line

BudgetExceeded and IncompleteReply have the names that code in a sandbox knows them by.
"""

from typing import TYPE_CHECKING, Any, Literal, NoReturn

from divebell.usage import Usage
from divebell_bridge.money.errors import (
    BudgetExceeded,
    ConfigurationError,
    DivebellError,
    LedgerBusyError,
    LedgerError,
    LedgerUnavailableError,
    UnknownPriceError,
)


class CacheError(ConfigurationError):
    """The folder for compiled modules is not this user's alone, or cannot be written."""


class ContextError(DivebellError, ValueError):
    """The context cannot be read or shared."""


class SandboxError(DivebellError):
    """The sandbox cannot do what was requested."""


GuestFault = Literal["Killed", "StackOverflow", "Crash", "BrokenGuest", "SnapshotError", "ContextError", "BadModule"]
"""How a guest was lost. See GuestError."""


class GuestError(SandboxError):
    """A guest died, or could not be started. A sandbox restores the state before, and reports the first four kinds in
    the cell's error. kind:

    Killed: it ran longer than its limit, ignored the interrupt, and was killed; or its run was cancelled.
    StackOverflow: it used up the interpreter's stack.
    Crash: the interpreter aborted, or touched memory that it may not touch.
    BrokenGuest: it named memory that is not its own, or its answer broke the format. Cells can do that to it.
    SnapshotError: the state does not fit a new guest, because it was saved with another context.
    ContextError: a new guest could not take the context.
    BadModule: the packaged module is missing, damaged, or does not boot.
    """

    def __init__(self, message: str, *, kind: GuestFault) -> None:
        super().__init__(message)
        self.kind: GuestFault = kind


class SandboxClosedError(SandboxError):
    """The sandbox was closed, or its run was cancelled."""


class NotPlainDataError(SandboxError, TypeError):
    """Only None, bool, int, float, str, bytes, list, tuple and dict of these cross between host and guest."""


class AnswerError(DivebellError, ValueError):
    """An answer does not fit its schema.

    errors: one line for each problem (where, what was expected, what was given), at most MAX_ERRORS of at most
        MAX_CHARACTERS, to be shown to the model, which corrects it.
    """

    MAX_ERRORS = 10
    MAX_CHARACTERS = 300

    def __init__(self, errors: tuple[str, ...]) -> None:
        lines = [error[: self.MAX_CHARACTERS] for error in dict.fromkeys(errors)]
        if len(lines) > self.MAX_ERRORS:
            lines[self.MAX_ERRORS - 1 :] = [f"and {len(lines) - self.MAX_ERRORS + 1:,} more"]
        self.errors = tuple(lines)
        super().__init__("; ".join(self.errors))


class ModelError(DivebellError):
    """A model call failed. `model` is its name.

    never_ran: the call certainly did not run, so it cost nothing and its hold is refunded: the connection was never
        made, or the endpoint refused the request.
    may_retry: the same call may succeed later. retry_after_seconds: when, if the endpoint said so.
    usage: what the call used, if it ran and was counted although its reply cannot be used: its hold is settled with
        that. None if it is not known: the whole hold is charged, unless the call never ran.
    """

    def __init__(
        self,
        message: str,
        *,
        model: str = "",
        never_ran: bool = False,
        may_retry: bool = False,
        retry_after_seconds: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.model = model
        self.never_ran = never_ran
        self.may_retry = may_retry
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage


class RequestError(ModelError):
    """The request itself is at fault, and no model was called: an image, a schema, a context or a message in it cannot
    be sent. Code in a sandbox receives it as BadRequest."""

    def __init__(self, message: str, *, model: str = "") -> None:
        super().__init__(message, model=model, never_ran=True)


class SchemaRefusedError(RequestError, ValueError):
    """A schema from inside a sandbox has a keyword that is not allowed there, or exceeds a bound."""


class ModelUnavailableError(ModelError):
    """The endpoint did not answer: unreachable, timed out, or failing (5xx)."""


class ModelRefusedError(ModelError):
    """The endpoint refused the call. `status` is the HTTP status, 0 if there was none."""

    def __init__(self, message: str, *, model: str = "", status: int = 0, **more: Any) -> None:
        super().__init__(message, model=model, **more)
        self.status = status


class ContextTooLongError(ModelRefusedError):
    """The prompt, with the requested output, does not fit into the model's window.

    limit_tokens: the window that the endpoint named, for input and output together if `counts_output`, else for the
        input alone; None if it named none. requested_tokens: how many the call had, as the endpoint counted them.
    """

    def __init__(
        self,
        message: str,
        *,
        limit_tokens: int | None = None,
        requested_tokens: int | None = None,
        counts_output: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(message, **more)
        self.limit_tokens = limit_tokens
        self.requested_tokens = requested_tokens
        self.counts_output = counts_output


class OutputTooLongError(ModelRefusedError):
    """The output limit that was sent is higher than the model allows. output_limit_tokens: the highest that it allows;
    None if the endpoint did not name it."""

    def __init__(self, message: str, *, output_limit_tokens: int | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.output_limit_tokens = output_limit_tokens


class IncompleteReply(ModelError):
    """A reply is not complete: the output limit cut off a sub-model's reply, or a child ended before it had an answer.

    text: the part that there is.
    """

    def __init__(self, message: str, *, text: str = "", **more: Any) -> None:
        super().__init__(message, **more)
        self.text = text


class UnknownModelError(ModelError, ConfigurationError):
    """No model of that name is configured for this run."""


class JournalError(DivebellError):
    """A journal cannot be read, or cannot be written; then the run ends, because it could not be repeated."""


class ReplayDivergedError(JournalError):
    """A run that was repeated from its journal differs from the recorded one. The message shows the first
    difference."""


class RunError(DivebellError):
    """The run ended without an answer."""


class TraceError(DivebellError, ValueError):
    """A trace cannot be written, or a file is not a readable trace. `line` is the file's line, from 1; 0 for none."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


RENAMED_ERRORS = {
    name: f"{name}Error"
    for name in (
        "ContextTooLong", "LedgerBusy", "LedgerUnavailable", "ModelRefused", "ModelUnavailable", "NotPlainData",
        "OutputTooLong", "ReplayDiverged", "SandboxClosed", "SchemaRefused", "UnknownModel", "UnknownPrice",
    )
}  # fmt: skip
"""Errors that had another name in version 0.1.0, by that name."""


def refuse_renamed_error(module: str, name: str) -> NoReturn:
    """For a module's `__getattr__`: ImportError that has an error's present name, AttributeError for any other name.

    An AttributeError would not do: `from divebell import ...` shows another sentence in its place.
    """
    if name in RENAMED_ERRORS:
        raise ImportError(f"{module}.{name} is now called {module}.{RENAMED_ERRORS[name]}", name=module)
    raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        refuse_renamed_error(__name__, name)


__all__ = [
    "AnswerError",
    "BudgetExceeded",
    "CacheError",
    "ConfigurationError",
    "ContextError",
    "ContextTooLongError",
    "DivebellError",
    "GuestError",
    "IncompleteReply",
    "JournalError",
    "LedgerBusyError",
    "LedgerError",
    "LedgerUnavailableError",
    "ModelError",
    "ModelRefusedError",
    "ModelUnavailableError",
    "NotPlainDataError",
    "OutputTooLongError",
    "ReplayDivergedError",
    "RequestError",
    "RunError",
    "SandboxClosedError",
    "SandboxError",
    "SchemaRefusedError",
    "TraceError",
    "UnknownModelError",
    "UnknownPriceError",
]
