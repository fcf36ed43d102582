"""A tenant: somebody for whom an application runs queries, with caps of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from divebell.calls.memo import Memo
from divebell.errors import ConfigurationError
from divebell_bridge.money.budget import Budget, checked_budget
from divebell_bridge.money.escrow import Caps
from divebell_bridge.money.patience import wait_and_do
from divebell_bridge.money.rates import Rate

if TYPE_CHECKING:
    from divebell.engine import Engine
    from divebell.models.protocol import Model
    from divebell.options import RLMOptions
    from divebell.rlm import RLM

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """Made by Engine.tenant.

    per_run: what one run may use at most; a run's own budget can only be lower. per_day: what its runs of one day (of
    UTC) may use together; total: what they may use in all. Of these two, dollars, tokens and calls count; None keeps
    the caps that the ledger has, and Budget() lifts them. The ledger keeps them: `set_caps` changes them there.
    rates: prices that only this tenant has.
    """

    name: str
    engine: "Engine"
    per_run: Budget | None = None
    per_day: Budget | None = None
    total: Budget | None = None
    rates: Mapping[str, Rate] = field(default_factory=dict)
    memo: Memo = field(default_factory=Memo, repr=False)
    """What RLM(memo="tenant") remembers; it goes with this object."""

    def __post_init__(self) -> None:
        checked_budget(self.per_run)
        _checked_caps(per_day=self.per_day, total=self.total)

    def __repr__(self) -> str:
        caps = {"budget": self.per_run, "per_day": self.per_day, "total": self.total}
        given = "".join(f", {name}={cap!r}" for name, cap in caps.items() if cap is not None)
        return f"<Tenant {self.name!r}{given}>"

    def write_caps(self) -> None:
        """Write the caps into the ledger, once: there they stay until others are written, by whichever process."""
        self.engine.ledger.tenant(self.name, total=_caps(self.total), per_day=_caps(self.per_day))

    def set_caps(self, *, per_day: Budget | None = None, total: Budget | None = None) -> None:
        """Replace caps in the ledger, for all processes that share it. None keeps those there are; Budget() lifts them.

        A cap that is lowered binds every run of the tenant at its next call, also one that has set a budget of its own
        aside: the calls that are in flight are paid, and no others begin where the cap has no room for them.
        A cap for each run is no part of the ledger: it binds the runs that begin with it.
        Raises ConfigurationError for a cap that makes no sense, LedgerError if the ledger cannot be written.
        """
        _checked_caps(per_day=per_day, total=total)
        wait_and_do(lambda: self.engine.ledger.tenant(self.name, total=_caps(total), per_day=_caps(per_day)))

    def stop(self) -> None:
        """No more model calls for this tenant, in any process, until `set_caps(total=...)` gives it another cap in all.
        What is in flight is paid; its runs end as runs do whose budget is used up."""
        self.set_caps(total=Budget(dollars=0, tokens=0, calls=0))

    def account_for_today(self) -> str:
        """The id of today's account in the ledger. Its caps are those that the ledger has now."""
        return self.engine.ledger.tenant(self.name)

    @overload
    def rlm(
        self,
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: None = None,
        **options: "Unpack[RLMOptions]",
    ) -> "RLM[str]": ...

    @overload
    def rlm(
        self,
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: type[Answer],
        **options: "Unpack[RLMOptions]",
    ) -> "RLM[Answer]": ...

    @overload
    def rlm(
        self,
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: object,
        **options: "Unpack[RLMOptions]",
    ) -> "RLM[Any]": ...

    def rlm(
        self,
        model: "str | Model | None" = None,
        sub_model: "str | Model | None" = None,
        *,
        output: object = None,
        **options: "Unpack[RLMOptions]",
    ) -> "RLM[Any]":
        """An RLM that runs for this tenant. Takes what RLM takes; names of models as Engine.rlm."""
        if options.get("tenant") not in (None, self):
            raise ConfigurationError("tenant.rlm(...) makes an RLM of that tenant: leave out tenant=")
        options["tenant"] = self
        return self.engine.rlm(model, sub_model, output=output, **options)


def _checked_caps(**caps: Budget | None) -> None:
    for what, given in caps.items():
        budget = checked_budget(given, what)
        if budget is not None and budget.seconds is not None:
            raise ConfigurationError(f"{what} cannot limit seconds: give a limit of seconds per run, in budget")


def _caps(budget: Budget | None) -> Caps | None:
    return None if budget is None else Caps(budget.cap_picodollars, budget.tokens, budget.calls)
