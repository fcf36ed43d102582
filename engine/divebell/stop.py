"""`Stop`: the limit that ended a run's turns before its model answered by itself."""

from dataclasses import dataclass

from divebell_bridge.money.errors import BudgetExceeded


@dataclass(frozen=True, kw_only=True)
class Stop:
    """The limit that ended a run's turns.

    limit: an argument of `Budget` ("dollars", "seconds", ...), "iterations", "repairs" (answers that did not fit the
        schema), "repeats" (the same reply again and again, with neither code nor an answer), or "window" (the model's,
        which the history outgrew).
    cap, spent, held: in the limit's unit (Decimal for dollars), as they were at that moment; None if the limit has no
        such amount.
    path: whose limit it was: the run's, a child's ("... child 0.2"), a tenant's or that of one of its days.
    """

    limit: str
    cap: object = None
    spent: object = None
    held: object = None
    path: str = ""

    @classmethod
    def of(cls, refusal: BudgetExceeded) -> "Stop":
        """The limit that a refusal names."""
        return cls(limit=refusal.limit, cap=refusal.cap, spent=refusal.spent, held=refusal.held, path=refusal.account)
