"""`Engine`: what all sandboxes and runs of an application share, with the methods that make RLMs and tenants of it."""

from collections.abc import Mapping
from typing import Never

from divebell.concurrency import check_places
from divebell.errors import ConfigurationError
from divebell.options import refuse_unknown
from divebell.resources import EngineResources
from divebell.rlm_factory import RLMFactory
from divebell.tenant import Tenant
from divebell.wiring import RLMOptions
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.patience import retry_while_busy
from divebell_bridge.money.rates import Rate, RateCard


class Engine(EngineResources, RLMFactory):
    """The compiled guest, the ledger, the prices and the connections that sandboxes and runs share.

    Thread-safe; one per process is usual.

    models: models by name. `engine.rlm("fast")` looks names up here first, and code may choose them with
        llm_query(model=...).
    ledger: where budgets are kept: a Ledger, or the path of a SQLite file that many processes may share; by default in
        memory. A ledger given as a path is closed with the engine.
    limits: the limits of every sandbox, unless the sandbox or its RLM has its own.
    rates: prices that the pinned rate card does not have, or that replace those on the card.
    max_concurrent_calls: the most model calls in flight of all runs together, on all threads and event loops; by
        default unlimited. Tenants are served in turn, and the calls of one tenant in the order in which they came.
    epochs: whether to compile the guest with checks that end a runaway cell; it then runs about a third slower. By
        default, only where a cell's memory cannot be taken away (Windows), or if DIVEBELL_EPOCHS=1 is set.
    """

    def tenant(
        self,
        name: str,
        *,
        budget: Budget | None = None,
        per_day: Budget | None = None,
        total: Budget | None = None,
        rates: Mapping[str, Rate] | None = None,
        max_concurrent_calls: int | None = None,
        **unknown: Never,
    ) -> Tenant:
        """A tenant with caps of its own: `budget` for each run, `per_day`, and `total`. See Tenant.

        max_concurrent_calls: the most model calls in flight of all its runs in this engine; None keeps the present
            limit, if there is one.

        `per_day` and `total` are written to the ledger, and a later call replaces them; what was spent stays spent. If
        they are left out, they stay as the ledger has them.
        Raises ConfigurationError for a name or a cap that makes no sense, LedgerError if the ledger cannot be written.
        """
        refuse_unknown("Engine.tenant", unknown)
        RateCard(rates)  # refuses rates that make no sense, now
        tenant = Tenant(name=name, engine=self, per_run=budget, per_day=per_day, total=total, rates=dict(rates or {}))
        if max_concurrent_calls is not None:
            check_places("max_concurrent_calls", max_concurrent_calls)
        retry_while_busy(tenant.write_caps)
        if max_concurrent_calls is not None:
            self.places.limit_group(name, max_concurrent_calls)
        return tenant

    def _bind(self, options: RLMOptions) -> EngineResources:
        if options.get("engine") not in (None, self):
            raise ConfigurationError("engine.rlm(...) makes an RLM of that engine: leave out engine=")
        options["engine"] = self
        return self
