"""A tenant: somebody for whom an application runs queries, with caps of its own."""

from dataclasses import dataclass

from divebell.calls.tenant_account import TenantAccount
from divebell.errors import ConfigurationError
from divebell.resources import EngineResources
from divebell.rlm_factory import RLMFactory
from divebell.wiring import RLMOptions


@dataclass(frozen=True, kw_only=True, repr=False)
class Tenant(TenantAccount, RLMFactory):
    """Made by Engine.tenant.

    per_run: what one run may use at most; a run's own budget can only be lower. per_day: what its runs of one day (of
    UTC) may use together; total: what they may use in all. Of these two, dollars, tokens and calls count; None keeps
    the caps that the ledger has, and Budget() lifts them. The ledger keeps them: `set_caps` changes them there.
    rates: prices that only this tenant has.
    """

    def _bind(self, options: RLMOptions) -> EngineResources:
        if options.get("tenant") not in (None, self):
            raise ConfigurationError("tenant.rlm(...) makes an RLM of that tenant: leave out tenant=")
        if options.get("engine") not in (None, self.engine):
            raise ConfigurationError("engine.rlm(...) makes an RLM of that engine: leave out engine=")
        options["tenant"] = self
        options["engine"] = self.engine
        return self.engine
