"""A tenant's caps, prices and memo: what a run needs to know of the tenant that it runs for. `Tenant` is this with the
method that makes RLMs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from divebell.calls.memo import Memo
from divebell.errors import ConfigurationError
from divebell.resources import EngineResources
from divebell_bridge.money.amounts import STOPPED, Caps
from divebell_bridge.money.budget import Budget, check_budget
from divebell_bridge.money.patience import retry_while_busy
from divebell_bridge.money.rates import Rate


@dataclass(frozen=True, kw_only=True)
class TenantAccount:
    """The state of a Tenant, which documents the fields."""

    name: str
    engine: EngineResources
    per_run: Budget | None = None
    per_day: Budget | None = None
    total: Budget | None = None
    rates: Mapping[str, Rate] = field(default_factory=dict)
    memo: Memo = field(default_factory=Memo, repr=False)
    """What RLM(memo="tenant") remembers, for as long as this object lives."""

    def __post_init__(self) -> None:
        check_budget(self.per_run)
        _check_caps(per_day=self.per_day, total=self.total)

    def __repr__(self) -> str:
        caps = {"budget": self.per_run, "per_day": self.per_day, "total": self.total}
        caps_text = "".join(f", {name}={cap!r}" for name, cap in caps.items() if cap is not None)
        return f"<Tenant {self.name!r}{caps_text}>"

    def write_caps(self) -> None:
        """Write the caps into the ledger, once: they stay there until others are written, by whichever process."""
        self.engine.ledger.tenant(self.name, total=_caps_of(self.total), per_day=_caps_of(self.per_day))

    def set_caps(self, *, per_day: Budget | None = None, total: Budget | None = None) -> None:
        """Replace caps in the ledger, for all processes that share it. None keeps the existing cap; Budget() lifts it.

        A lowered cap binds every run of the tenant at its next call, including runs that have set a budget of their own
        aside: calls in flight are paid, and no further call begins where the cap has no room for it.
        The cap for each run is not part of the ledger: it binds the runs that begin with it.
        Raises ConfigurationError for a cap that makes no sense, LedgerError if the ledger cannot be written.
        """
        _check_caps(per_day=per_day, total=total)
        retry_while_busy(lambda: self.engine.ledger.tenant(self.name, total=_caps_of(total), per_day=_caps_of(per_day)))

    def stop(self) -> None:
        """Allow no more model calls for this tenant, in any process, until `set_caps(total=...)` gives it another
        total. Calls in flight are paid; its runs end as runs do whose budget is used up."""
        retry_while_busy(lambda: self.engine.ledger.tenant(self.name, total=STOPPED))

    def account_for_today(self) -> str:
        """The id of today's account in the ledger. Its caps are those that the ledger has now."""
        return self.engine.ledger.tenant(self.name)


def _check_caps(**caps: Budget | None) -> None:
    for name, cap in caps.items():
        budget = check_budget(cap, name)
        if budget is not None and budget.seconds is not None:
            raise ConfigurationError(f"{name} cannot limit seconds: give a limit of seconds per run, in budget")


def _caps_of(budget: Budget | None) -> Caps | None:
    return None if budget is None else budget.caps
