"""The errors that the bridge raises; divebell.errors draws the whole tree."""

from typing import Any


class DivebellError(Exception):
    """The root. Catch it to catch whatever Divebell raises on purpose. It can be copied and pickled with all that it
    carries, although most of that is passed by keyword."""

    def __reduce__(self) -> "tuple[Any, ...]":
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(error_class: "type[DivebellError]", args: "tuple[Any, ...]", carried: "dict[str, Any]") -> DivebellError:
    error = error_class.__new__(error_class, *args)
    error.args = args
    error.__dict__.update(carried)
    return error


class ConfigurationError(DivebellError, ValueError):
    """A setting or an argument makes no sense. The message says what to change."""


class UnknownPriceError(ConfigurationError):
    """A budget in dollars cannot be held for a model whose price is not known. `model` is its name."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"the price of {model!r} is not known, so a budget in dollars cannot be held: give its rate in dollars per "
            f'million tokens, as rates={{"{model}": Rate.per_million("0.25", "2.00")}} or --rate {model}=0.25/2.00'
        )
        self.model = model


class BudgetExceeded(DivebellError):
    """A limit of the run's budget does not allow more.

    `limit` names it, as the argument of `Budget` does; `cap`, `spent` and `held` are in its unit, and `account` names
    the account that is used up: a run, a run's child ("run ..., child 0.2"), a tenant or one of its days.
    `waiting_helps` is true where the refusal may be only for now: the call could fit once calls in flight have settled
    for less than they hold, or once other runs have closed. `held_by` names the first of the runs, or children, that
    the missing money is set aside for.
    """

    def __init__(
        self,
        message: str,
        *,
        limit: str,
        cap: object = None,
        spent: object = None,
        held: object = None,
        account: str = "",
        waiting_helps: bool = False,
        held_by: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.cap = cap
        self.spent = spent
        self.held = held
        self.account = account
        self.waiting_helps = waiting_helps
        self.held_by = held_by

    @property
    def path(self) -> str:
        """`account`, by the name that it had in the first version."""
        return self.account


class LedgerError(DivebellError):
    """The ledger cannot be read or written, or the operation makes no sense. No money was moved."""


class LedgerUnavailableError(LedgerError):
    """The ledger cannot be written just now, for a reason that may pass: a full disk, a drive that does not answer, a
    file that may not be written."""


class LedgerBusyError(LedgerUnavailableError):
    """Another process is writing to the ledger just now. The same call succeeds a moment later."""
